"""Locks: one `up` or `down` per lab, one choice of networks per machine, one maker per file."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MACHINE_LOCK = Path("/run/novella-lab.lock")


@contextmanager
def machine_lock() -> Iterator[None]:
    """Hold the lock under which labs of this machine choose their networks."""
    with _locked(MACHINE_LOCK):
        yield


@contextmanager
def lab_lock(lab_dir: Path) -> Iterator[None]:
    """Hold the lock of the lab in `lab_dir`. A host never inherits it, so it ends with us."""
    lab_dir.mkdir(parents=True, exist_ok=True)
    with _locked(lab_dir / "lock"):
        yield


@contextmanager
def making(output: Path) -> Iterator[None]:
    """Hold the lock of whoever makes `output`, so that who comes second finds it made."""
    with _locked(output.with_name(f"{output.name}.lock")):
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
