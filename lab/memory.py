"""What processes weigh: their proportional share of memory (PSS), in MB."""

import contextlib
from collections.abc import Mapping
from pathlib import Path


def pss_mb(pid: int) -> float:
    """Return the process's proportional share of memory, in MB. Raises OSError when it has gone."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def family(root: int) -> list[int]:
    """Return `root` and all its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        # Processes end while we look.
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found, queue = [], [root]
    while queue:
        process = queue.pop()
        found.append(process)
        queue.extend(children.get(process, []))
    return found


def by_name(processes: Mapping[int, str]) -> dict[str, list[float]]:
    """Return what each of `processes` (pid to name) weighs now, heaviest first, by name."""
    found: dict[str, list[float]] = {}
    for pid, name in processes.items():
        with contextlib.suppress(OSError):
            found.setdefault(name, []).append(round(pss_mb(pid), 1))
    return {name: sorted(found[name], reverse=True) for name in sorted(found)}
