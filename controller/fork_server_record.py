"""What the fork server says of itself, for the metrics: a file of JSON, replaced at each change.

It keeps no metrics as the others do, for all that it imports is in every run's memory, and what it
maps or locks its forks would keep.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "fork-server.json"


@dataclass(slots=True)
class ForkServerRecord:
    """`pid` and `began` (the kernel's word for when) name the process. Counted over all its lives:
    how often it was started, began anew since what it had read has changed, and forked for a run.
    """

    pid: int = 0
    began: str = ""
    started: int = 0
    renewed: int = 0
    forked: int = 0

    @property
    def is_up(self) -> bool:
        try:
            return bool(self.pid) and _began(self.pid) == self.began
        except OSError:
            return False

    def write(self, folder: Path) -> None:
        """Keep it below `folder`. A disk that is full keeps no run from being forked."""
        path = folder / NAME
        with contextlib.suppress(OSError):
            aside = path.with_suffix(".new")
            aside.write_text(json.dumps(asdict(self)))
            aside.replace(path)


def read(folder: Path) -> ForkServerRecord:
    """Return what was written last; an empty record where nothing was, or nothing can be read."""
    try:
        said = json.loads((folder / NAME).read_text())
        numbers = (int(said[name]) for name in ("started", "renewed", "forked"))
        return ForkServerRecord(int(said["pid"]), str(said["began"]), *numbers)
    except (OSError, ValueError, KeyError, TypeError):
        return ForkServerRecord()


def begin(folder: Path, *, renewed: bool) -> ForkServerRecord:
    """Return this process's record, counted on from that of earlier lives, and written."""
    record = read(folder)
    record.pid, record.began = os.getpid(), _began(os.getpid())
    if renewed:
        record.renewed += 1
    else:
        record.started += 1
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    record.write(folder)
    return record


def _began(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
