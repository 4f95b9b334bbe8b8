"""Metrics: the figures of several processes are one scrape, and outlive each of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from controller import fork_server_record, metrics

# In processes of their own: where figures are kept is chosen once for each.
COUNT = """
import sys
from pathlib import Path
from controller import metrics
metrics.start(Path(sys.argv[1]), "api", several=True)
metrics.RUN_STARTS.labels("cold").inc()
metrics.REQUESTS.labels("GET", "/x", "200").observe(0.2)
print("counted", flush=True)
sys.stdin.read()
"""


def counting(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", COUNT, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.communicate()


def value(folder: Path, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", metrics.render(folder).decode(), re.M)
    assert found, f"no {series}"
    return float(found[1])


def test_processes_are_added_up_and_restarts_count_on(tmp_path: Path) -> None:
    both = counting(tmp_path), counting(tmp_path)
    assert value(tmp_path, 'novella_run_starts_total{start="cold"}') == 2
    series = 'novella_api_request_duration_seconds_bucket{le="0.25",method="GET",route="/x",'
    assert value(tmp_path, f'{series}status="200"}}') == 2
    assert value(tmp_path, 'novella_process_resident_memory_bytes{process="api-1"}') > 1 << 20
    end(*both)
    # A counter that falls looks to Prometheus like a burst of what came before.
    assert value(tmp_path, 'novella_run_starts_total{start="cold"}') == 2
    files = {path.name for path in tmp_path.iterdir()}
    for _ in range(3):
        end(counting(tmp_path))
    assert value(tmp_path, 'novella_run_starts_total{start="cold"}') == 5
    assert {path.name for path in tmp_path.iterdir()} == files
    assert "resident_memory_bytes{" not in metrics.render(tmp_path).decode()


def test_the_files_have_their_room_from_the_start(tmp_path: Path) -> None:
    """A file with holes, on a disk that fills up, would end the process that counts."""
    end(counting(tmp_path))
    for path in tmp_path.glob("*.db"):
        assert path.stat().st_blocks * 512 >= metrics.FILE_BYTES
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_torn_file_costs_its_own_figures_alone(tmp_path: Path) -> None:
    end(counting(tmp_path))
    torn = tmp_path / "counter_api-7.db"
    torn.write_bytes(b"\xff\xff\x00\x00" + os.urandom(4096))
    assert value(tmp_path, 'novella_run_starts_total{start="cold"}') == 1
    assert not torn.exists()


def test_without_room_a_process_works_on_uncounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    before = metrics.values.ValueClass
    monkeypatch.setattr(os, "posix_fallocate", full)
    metrics.start(tmp_path, "api")
    assert metrics.values.ValueClass is before


def test_names_are_as_prometheus_has_them() -> None:
    for metric in metrics.REGISTRY.collect():
        assert re.fullmatch(r"novella_[a-z_]+", metric.name)
        assert metric.type != "histogram" or metric.name.endswith("_seconds")
        assert metric.documentation.endswith(".")


def fork_server(folder: Path) -> dict[str, float]:
    text = metrics.render(folder, metrics.ForkServer(folder)).decode()
    found = re.findall(r"^novella_fork_server_(\S+) (\S+)$", text, re.M)
    return {name: float(number) for name, number in found}


def test_the_fork_server_shows_with_all_its_lives(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    none = {"up": 0, 'starts_total{why="started"}': 0, 'starts_total{why="changed"}': 0,
            "forks_total": 0}  # fmt: skip
    assert fork_server(folder) == none
    record = fork_server_record.begin(folder, renewed=False)
    record.forked += 2
    record.write(folder)
    fork_server_record.begin(folder, renewed=True)
    assert fork_server(folder) == {
        "up": 1, 'starts_total{why="started"}': 1, 'starts_total{why="changed"}': 1,
        "forks_total": 2,
    }  # fmt: skip
    assert value(folder, 'novella_process_resident_memory_bytes{process="fork-server"}') > 1 << 20
    # Its pid is another process's by now.
    record.began = "1"
    record.write(folder)
    assert fork_server(folder)["up"] == 0
    (folder / fork_server_record.NAME).write_text('{"pid": "torn')
    assert fork_server(folder) == none
