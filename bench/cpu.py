"""CPU time of groups of processes, by the kernel's own account (cgroups, of either version)."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

V1 = Path("/sys/fs/cgroup/cpuacct")
V2 = Path("/sys/fs/cgroup")


class CpuGroup:
    """A group that has the given processes, and all that they start from then on."""

    def __init__(self, name: str) -> None:
        self.v1 = V1.is_dir()
        self.path = (V1 if self.v1 else V2) / f"novella-bench-{name}"
        self.path.mkdir(exist_ok=True)

    def add(self, pids: Iterable[int]) -> None:
        for pid in pids:
            # It may have ended meanwhile.
            with contextlib.suppress(ProcessLookupError):
                (self.path / "cgroup.procs").write_text(str(pid))

    def seconds(self) -> float:
        """Return the CPU time that was used in the group so far, that of ended processes too."""
        if self.v1:
            return int((self.path / "cpuacct.usage").read_text()) / 1e9
        words = (self.path / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def close(self) -> None:
        """Give the processes back to where groups begin, and remove the group."""
        home = (V1 if self.v1 else V2) / "cgroup.procs"
        for pid in (self.path / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                home.write_text(pid)
        with contextlib.suppress(OSError):
            self.path.rmdir()


@contextlib.contextmanager
def groups(controller: Iterable[int], host: Iterable[int]) -> Iterator[tuple[CpuGroup, CpuGroup]]:
    """Yield the group of this process and `controller`, and that of `host`."""
    ours, theirs = CpuGroup("controller"), CpuGroup("host")
    try:
        ours.add([os.getpid(), *controller])
        theirs.add(host)
        yield ours, theirs
    finally:
        ours.close()
        theirs.close()
