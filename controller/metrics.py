"""Figures of the processes for Prometheus: what they count and time, all of it for one scrape.

Each process writes its figures into files of its own below `metrics_dir`, mapped into memory, and
whoever answers a scrape adds them up. The files go by the process's name, not by its pid: counters
go on after a restart, and restarts leave nothing behind. What the database knows (queue, hosts) is
read from there at each scrape; see core.gauges.

Labels have few values, all of ours: routes as templates, names of operations, steps and modules.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from controller import fork_server_record

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Enough for thousands of series. Given to each file at once: a disk that is full later on would
# else end the process (SIGBUS) when it counts on.
FILE_BYTES = 1 << 20
_KINDS = ("counter", "histogram")

REGISTRY = CollectorRegistry()
_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)

REQUESTS = Histogram(
    "novella_api_request_duration_seconds",
    "Time until the answer of an API request began, by the route's template.",
    ("method", "route", "status"),
    buckets=_FAST,
    registry=REGISTRY,
)
OPERATIONS = Histogram(
    "novella_operation_duration_seconds",
    "Time from an operation's acceptance to its end.",
    ("operation", "result"),
    buckets=_LONG,
    registry=REGISTRY,
)
WAITS = Histogram(
    "novella_operation_wait_seconds",
    "Time from an operation's acceptance until a worker began with it.",
    ("operation",),
    buckets=_LONG,
    registry=REGISTRY,
)
STEPS = Histogram(
    "novella_step_duration_seconds",
    "Time of an operation's step, its play included.",
    ("operation", "step", "result"),
    buckets=_LONG,
    registry=REGISTRY,
)
HOST_STEPS = Histogram(
    "novella_host_step_duration_seconds",
    "Time of a module within a play, as the host says it.",
    ("module", "result"),
    buckets=_LONG,
    registry=REGISTRY,
)
RUNS = Histogram(
    "novella_run_duration_seconds",
    "Time of a run of a playbook, start of Ansible included.",
    ("playbook", "status"),
    buckets=_LONG,
    registry=REGISTRY,
)
RUN_STARTS = Counter(
    "novella_run_starts",
    "Runs by how Ansible was started: warm (forked), or cold where that was not to be had.",
    ("start",),
    registry=REGISTRY,
)
FALLBACKS = Counter(
    "novella_run_fallbacks",
    "Runs that the fork server was to start and did not, by the kind of reason.",
    ("why",),
    registry=REGISTRY,
)
HEAD_STARTS = Counter(
    "novella_run_head_starts",
    "Runs for which the host's Python was started ahead, by whether the play made use of it.",
    ("used",),
    registry=REGISTRY,
)
# The lock of this process's name, held as long as it lives.
_slot: list[int] = []


def start(folder: Path, name: str, *, several: bool = False) -> None:
    """Keep this process's figures below `folder`, under `name`; to be called before it counts.

    With `several`, for processes that are alike, the first number that is free is added to it.
    Without room for the files, the figures stay in memory, and are in no scrape.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = _take_name(folder, name, several)
    try:
        for kind in _KINDS:
            _make_room(folder / f"{kind}_{own}.db")
    except OSError as error:
        log.error("figures of %s are in no scrape: no room in %s: %s", own, folder, error)
        return
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: own)  # type: ignore[no-untyped-call]


def render(folder: Path, *collectors: Collector) -> bytes:
    """Return all processes' figures, and what `collectors` say, in Prometheus' text format."""
    registry = CollectorRegistry()
    if any(folder.glob("*.db")):
        _remove_unreadable(folder)
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    registry.register(Processes(folder))
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)


class Processes(Collector):
    """Memory and CPU time of each process that runs, as the kernel has them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        memory = GaugeMetricFamily(
            "novella_process_resident_memory_bytes", "Memory of a process.", labels=["process"]
        )
        cpu = CounterMetricFamily(
            "novella_process_cpu_seconds", "CPU time of a process.", labels=["process"]
        )
        for name, pid in _living(self._folder):
            try:
                memory.add_metric([name], _resident_bytes(pid))
                cpu.add_metric([name], _cpu_seconds(pid))
            except OSError:
                continue
        yield memory
        yield cpu


class ForkServer(Collector):
    """The fork server of this machine, as it says itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        record = fork_server_record.read(self._folder)
        yield GaugeMetricFamily(
            "novella_fork_server_up", "Whether the fork server runs.", record.is_up
        )
        starts = CounterMetricFamily(
            "novella_fork_server_starts",
            "Starts of the fork server, by why: as a process, or anew since a file has changed.",
            labels=["why"],
        )
        starts.add_metric(["started"], record.started)
        starts.add_metric(["changed"], record.renewed)
        yield starts
        yield CounterMetricFamily(
            "novella_fork_server_forks", "Clients that the fork server forked for.", record.forked
        )


def _take_name(folder: Path, name: str, several: bool) -> str:
    """Return the name under which no other process is here, and hold it."""
    number = 0
    while True:
        own = f"{name}-{number}" if several else name
        lock = os.open(folder / f"{own}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            number, several = number + 1, True
            continue
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()} {_started(os.getpid())}\n".encode())
        for before in _slot:
            os.close(before)
        _slot[:] = [lock]
        return own


def _make_room(path: Path) -> None:
    with path.open("a+b") as file:
        path.chmod(0o600)
        os.posix_fallocate(file.fileno(), 0, FILE_BYTES)


def _remove_unreadable(folder: Path) -> None:
    """Remove files that a crash of the machine left torn: better to count anew than not at all."""
    for path in folder.glob("*.db"):
        try:
            list(MmapedDict.read_all_values_from_file(str(path)))  # type: ignore[no-untyped-call]
        except Exception as error:
            log.warning("removed %s, which can't be read: %s", path, error)
            path.unlink(missing_ok=True)


def _living(folder: Path) -> list[tuple[str, int]]:
    """Return name and pid of the processes that have a name here and still run."""
    found = []
    for path in sorted(folder.glob("*.lock")):
        # Not by trying the lock: a process that starts just now would find it taken.
        with contextlib.suppress(OSError, ValueError):
            pid, started = path.read_text().split()
            if _started(int(pid)) == started:
                found.append((path.stem, int(pid)))
    record = fork_server_record.read(folder)
    return [*found, ("fork-server", record.pid)] if record.is_up else found


def _started(pid: int) -> str:
    """Return when the process began, which no other one of that pid did."""
    return _stat(pid)[19]


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _resident_bytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
