"""How much a run may take and say: a host that lies, or is mad, must not take the controller along.

What a host returns passes through Ansible's memory, a file for each event, and the run's output;
the worker reads the latter two. Each has its bound, far above what fifty servers need.
"""

import logging
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

# Address space of each of the run's processes. Ansible itself takes a tenth of it.
MEMORY_MAX_BYTES = 2 << 30
# Of any file that they write; those lie in memory too.
FILE_MAX_BYTES = 64 << 20
# Of one event that the worker takes in, and of all that a run prints.
EVENT_MAX_BYTES = 16 << 20
OUTPUT_MAX_BYTES = 16 << 20

TOO_MUCH = "The host said more than is taken in"


# A run that fetches an image's bytes from a host writes that file too: this variable of its says
# how large it may be. Events and output keep their bounds.
FILE_VARIABLE = "NOVELLA_FILE_MAX_BYTES"


def command(file_max_bytes: int = FILE_MAX_BYTES) -> list[str]:
    """Return the words before a command that bound what it starts."""
    return ["prlimit", f"--as={MEMORY_MAX_BYTES}", f"--fsize={file_max_bytes}", "--"]


def take_limits(file_max_bytes: int = FILE_MAX_BYTES) -> None:
    """Bound this process, and what it starts, likewise."""
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_MAX_BYTES),
        (resource.RLIMIT_FSIZE, file_max_bytes),
    ):
        # Whoever started us may have bounded us more.
        had = resource.getrlimit(what)[1]
        within = most if had == resource.RLIM_INFINITY else min(most, had)
        resource.setrlimit(what, (within, within))


def small_events(
    take_event: Callable[[dict[str, Any]], None],
    artifact_dir: Path,
    complain: Callable[[str], None],
) -> Callable[[dict[str, Any]], None]:
    """Return `take_event` such that it never reads an event that is too large; that is removed."""

    def take(event: dict[str, Any]) -> None:
        path = artifact_dir / "job_events" / f"{event.get('uuid')}-partial.json"
        try:
            size = path.stat().st_size
        except OSError:
            size = 0
        if size > EVENT_MAX_BYTES:
            log.warning("an event of %d bytes is dropped; %d are taken", size, EVENT_MAX_BYTES)
            complain(f"{TOO_MUCH}: {size} bytes at once, where {EVENT_MAX_BYTES} are.")
            path.unlink(missing_ok=True)
            return
        take_event(event)

    return take
