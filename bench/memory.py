"""What the controller weighs: the proportional share (PSS) of all its processes, in MB."""

from pathlib import Path

from bench.report import Report
from lab.cloud import Cloud
from lab.memory import family, pss_mb


def measure(cloud: Cloud, report: Report) -> None:
    """Add the controller's idle memory to `report`, each process apart."""
    pid = cloud.controller_pid()
    assert pid is not None
    total = 0.0
    for process in family(pid):
        pss = pss_mb(process)
        total += pss
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        report.add(f"memory, idle: {words[-2].decode()} (pid {process})", "MB", [pss])
    report.add("memory, idle: the whole controller (PSS)", "MB", [total], aim="under 200")
