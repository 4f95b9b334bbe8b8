"""Fetching a copy of a disk: chunk by chunk, resumed, verified, bounded."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.plugin_utils import snapshot_stream
from ansible_collections.novella.cloud.plugins.plugin_utils.snapshot_stream import (
    FetchError,
    Target,
)

CONTENT = bytes(range(256)) * 4096


class Host:
    """Runs commands as a host would, and counts them; `breaks` cuts the answer of the next ones."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.breaks = 0

    def __call__(self, command: str) -> tuple[int, bytes, bytes]:
        self.commands.append(command)
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False)
        if self.breaks:
            self.breaks -= 1
            return done.returncode, done.stdout[:10], b"broken"
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(snapshot_stream, "CHUNK_BYTES", 300_000)
    return Host()


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "on the host"
    path.write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    return {"path": str(path), "size_bytes": len(CONTENT), "sha256": digest}


def target(tmp_path: Path, **changes: Any) -> Target:
    (tmp_path / "store").mkdir(exist_ok=True)
    values = {"path": str(tmp_path / "store" / "i"), "max_bytes": None, "reserve_bytes": 0}
    return Target(**(values | changes))


def test_all_comes_in_chunks_with_its_checksums(
    host: Host, made: dict[str, Any], tmp_path: Path
) -> None:
    sums = snapshot_stream.fetch(host, made, target(tmp_path))
    store = tmp_path / "store"
    assert (store / "i").read_bytes() == CONTENT
    assert [path.name for path in store.iterdir()] == ["i"]
    assert (store / "i").stat().st_mode & 0o777 == 0o600
    assert len(host.commands) == 4
    assert sums == {
        "size_bytes": len(CONTENT),
        **{name: hashlib.new(name, CONTENT).hexdigest() for name in ("md5", "sha256", "sha512")},
    }


def test_what_came_before_is_not_fetched_again(
    host: Host, made: dict[str, Any], tmp_path: Path
) -> None:
    wanted = target(tmp_path)
    part = Path(f"{wanted.path}.{made['sha256'][:32]}.part")
    part.write_bytes(CONTENT[:900_000])
    sums = snapshot_stream.fetch(host, made, wanted)
    assert len(host.commands) == 1
    assert sums["sha256"] == made["sha256"]


def test_the_part_of_another_copy_is_thrown_away(
    host: Host, made: dict[str, Any], tmp_path: Path
) -> None:
    wanted = target(tmp_path)
    other = Path(f"{wanted.path}.{'0' * 32}.part")
    other.write_bytes(b"of another")
    snapshot_stream.fetch(host, made, wanted)
    assert not other.exists()


def test_a_chunk_that_breaks_off_is_fetched_again(
    host: Host, made: dict[str, Any], tmp_path: Path
) -> None:
    host.breaks = 2
    snapshot_stream.fetch(host, made, target(tmp_path))
    assert Path(target(tmp_path).path).read_bytes() == CONTENT
    host.breaks = 99
    Path(target(tmp_path).path).unlink()
    with pytest.raises(FetchError, match="broken"):
        snapshot_stream.fetch(host, made, target(tmp_path))


def test_what_is_not_what_the_host_has_is_refused_and_removed(
    host: Host, made: dict[str, Any], tmp_path: Path
) -> None:
    Path(made["path"]).write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(FetchError, match="not what the host has"):
        snapshot_stream.fetch(host, made, target(tmp_path))
    assert list((tmp_path / "store").iterdir()) == []


def test_bounds_are_minded_before_a_byte_comes(
    host: Host, made: dict[str, Any], tmp_path: Path
) -> None:
    for changes, says in (
        ({"max_bytes": 10}, "10 are taken"),
        ({"reserve_bytes": 1 << 60}, "store is full"),
        ({"path": "relative"}, "absolute"),
    ):
        with pytest.raises(FetchError, match=says):
            snapshot_stream.fetch(host, made, target(tmp_path, **changes))
    assert host.commands == []


@pytest.mark.parametrize(
    "change", [{"path": None}, {"size_bytes": "many"}, {"sha256": "../../etc/passwd"}]
)
def test_a_host_that_says_nonsense_is_refused(
    host: Host, made: dict[str, Any], tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(FetchError, match="did not say"):
        snapshot_stream.fetch(host, made | change, target(tmp_path))


def test_a_path_of_the_host_is_no_shell(host: Host, made: dict[str, Any], tmp_path: Path) -> None:
    evil = made | {"path": f"{made['path']}; touch {tmp_path}/evil"}
    with pytest.raises(FetchError):
        snapshot_stream.fetch(host, evil, target(tmp_path))
    assert not (tmp_path / "evil").exists()


def test_what_is_for_this_side_is_taken_out_of_the_step() -> None:
    args = {"fetch_to": "/x", "fetch_reserve_bytes": "5", "max_bytes": "7", "path": "p"}
    step = {"module": "novella.cloud.disk_snapshot", "args": dict(args)}
    assert snapshot_stream.take_target(step) == Target("/x", 7, 5)
    assert step["args"] == {"path": "p", "max_bytes": "7"}
    step["args"] = {**args, "state": "absent"}
    assert snapshot_stream.take_target(step) is None
    assert snapshot_stream.take_target({"module": "qcow2_disk", "args": dict(args)}) is None
