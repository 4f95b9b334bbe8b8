"""Images go over in chunks, go on where they stopped, and stop when the base is there."""

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.plugin_utils import image_stream

IMAGE = "8d3c2c86-6f0d-4a52-9a43-4a5f4a2f9d10"


class Host:
    """A host's shell: this machine's own."""

    def __init__(self) -> None:
        self.calls = 0

    def execute(self, command: str, data: bytes) -> dict[str, Any]:
        self.calls += 1
        done = subprocess.run(["sh", "-c", command], input=data, capture_output=True, check=False)
        return {
            "rc": done.returncode,
            "stdout": done.stdout.decode(),
            "stderr": done.stderr.decode(),
        }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "image.qcow2"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def part(tmp_path: Path) -> Path:
    return Path(image_stream.base_path(str(tmp_path), IMAGE) + ".part")


def test_an_image_arrives_whole_in_several_chunks(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_stream, "CHUNK_BYTES", 100_000)
    host = Host()
    assert image_stream.send(host.execute, str(source), IMAGE, str(tmp_path)) == 256_000
    assert part(tmp_path).read_bytes() == source.read_bytes()
    assert host.calls == 4


def test_a_partial_file_is_continued(tmp_path: Path, source: Path) -> None:
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(source.read_bytes()[:100_001])
    assert image_stream.send(Host().execute, str(source), IMAGE, str(tmp_path)) == 155_999
    assert part(tmp_path).read_bytes() == source.read_bytes()


def test_two_runs_at_once_send_an_image_once(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two creates of one controller, or of two, on a host that has not had the image yet."""
    monkeypatch.setattr(image_stream, "CHUNK_BYTES", 20_000)
    monkeypatch.setattr(image_stream, "POLL_S", 0.01)

    def send(_number: int) -> int:
        return image_stream.send(Host().execute, str(source), IMAGE, str(tmp_path))

    with ThreadPoolExecutor(3) as runs:
        assert sorted(runs.map(send, range(3))) == [0, 0, 256_000]
    assert part(tmp_path).read_bytes() == source.read_bytes()
    assert list((part(tmp_path).parent / "locks").iterdir()) == []


def test_the_image_of_a_sender_that_was_lost_is_sent_on(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = part(tmp_path).parent / "locks"
    locks.mkdir(parents=True)
    part(tmp_path).write_bytes(source.read_bytes()[:100_000])
    sender = locks / f"{part(tmp_path).stem}.sender"
    sender.write_text("another\n")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            age = time.time() - image_stream.SENDER_LOST_S
            os.utime(sender, (age, age))

    # Its own alone: other threads of this process sleep too.
    monkeypatch.setattr(image_stream, "time", SimpleNamespace(**{**vars(time), "sleep": wait}))
    assert image_stream.send(Host().execute, str(source), IMAGE, str(tmp_path)) == 156_000
    assert len(waits) == 3
    assert part(tmp_path).read_bytes() == source.read_bytes()


def test_a_partial_file_of_something_longer_is_begun_anew(tmp_path: Path, source: Path) -> None:
    part(tmp_path).parent.mkdir(parents=True)
    part(tmp_path).write_bytes(b"x" * 300_000)
    assert image_stream.send(Host().execute, str(source), IMAGE, str(tmp_path)) == 256_000
    assert part(tmp_path).read_bytes() == source.read_bytes()


def test_nothing_is_sent_once_the_base_is_there(tmp_path: Path, source: Path) -> None:
    base = Path(image_stream.base_path(str(tmp_path), IMAGE))
    base.parent.mkdir(parents=True)
    base.write_bytes(b"raw")
    assert image_stream.send(Host().execute, str(source), IMAGE, str(tmp_path)) == 0
    assert not part(tmp_path).exists()


@pytest.mark.parametrize(
    ("path", "said"), [(None, "image.path"), ("a/b", "absolute"), ("/no", "No such")]
)
def test_a_wrong_path_is_told(tmp_path: Path, path: str | None, said: str) -> None:
    with pytest.raises(image_stream.StreamError, match=said):
        image_stream.send(Host().execute, path, IMAGE, str(tmp_path))


def test_a_host_that_cannot_write_is_told_of(tmp_path: Path, source: Path) -> None:
    (tmp_path / "instances").write_text("in the way")
    with pytest.raises(image_stream.StreamError, match=r"Not a directory|File exists"):
        image_stream.send(Host().execute, str(source), IMAGE, str(tmp_path))


def test_the_source_is_taken_out_of_the_arguments_and_measured(source: Path) -> None:
    base = {"image_id": IMAGE, "stream_from": str(source)}
    assert image_stream.take_source({"args": {"base": base}}) == {IMAGE: str(source)}
    assert base == {"image_id": IMAGE, "size_bytes": 256_000}
    assert image_stream.take_source({"name": "no arguments"}) == {}
