"""Incarnation: one life of a worker, and the proof that an earlier one is over.

A lease's owner is "<place>/<name>/<life>". Place is this machine's run folder; whoever holds the
lock of a name there is the only one alive by that name. So a worker that got its lock knows that
leases of earlier lives of its name are nobody's, and takes them over at once, without waiting for
them to expire. Leases of other places are left to expire: their lock can't be seen from here.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from controller.db.base import new_hex_id
from controller.errors import Conflict


class Incarnation:
    """This life of the worker `name`; holds the name's lock till `close` or the process ends."""

    def __init__(self, run_dir: Path, name: str) -> None:
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._run_dir = run_dir
        self._lock = os.open(_lock_path(run_dir, name), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise Conflict(
                f"Cannot start worker '{name}': one of that name runs already on this machine. "
                "Stop it, or start this one with another --name."
            ) from error
        self._place = _place(run_dir)
        self._name = name
        self.owner = f"{self._place}/{name}/{os.getpid()}-{new_hex_id()[:8]}"

    def close(self) -> None:
        os.close(self._lock)

    def is_dead(self, owner: str) -> bool:
        """Return whether the life that `owner` names is known to be over."""
        place, _, rest = owner.partition("/")
        name = rest.rpartition("/")[0]
        if place != self._place or owner == self.owner:
            return False
        return name == self._name or _is_free(_lock_path(self._run_dir, name))


def _lock_path(run_dir: Path, name: str) -> Path:
    return run_dir / f"worker-{name}.lock"


def _is_free(path: Path) -> bool:
    """Return whether nobody holds the lock. No lock file: nobody of that name was ever here."""
    with contextlib.suppress(BlockingIOError, FileNotFoundError), path.open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _place(run_dir: Path) -> str:
    """Return the id of this run folder, made once. Host names may be alike; this is not."""
    path = run_dir / "place"
    if not path.exists():
        # Whole or not at all: an id that a crash left empty would be that of other machines too.
        draft = run_dir / f".place.{os.getpid()}"
        draft.write_text(new_hex_id())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_text().strip()
