"""What the controller weighs: the proportional share (PSS) of all its processes, in MB."""

import os
from pathlib import Path

from bench.report import Report
from lab.cloud import Cloud


def measure(cloud: Cloud, report: Report) -> None:
    """Add the controller's idle memory to `report`, each process apart."""
    pid = cloud.controller_pid()
    assert pid is not None
    total = 0.0
    for process in _family(pid):
        pss = pss_mb(process)
        total += pss
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        report.add(f"memory, idle: {words[-2].decode()} (pid {process})", "MB", [pss])
    report.add("memory, idle: the whole controller (PSS)", "MB", [total], aim="under 200")


def _family(root: int) -> list[int]:
    """Return `root` and all its descendants."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, queue = [], [root]
    while queue:
        process = queue.pop()
        found.append(process)
        queue.extend(parents.get(process, []))
    return [process for process in found if process != os.getpid()]


def pss_mb(pid: int) -> float:
    """Return the process's proportional share of memory, in MB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1000
    return 0.0
