"""The reader of a batch's results on the host: it ends with the module, and with who reads."""

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pytest

from ansible_collections.novella.cloud.plugins.plugin_utils import item_follower
from lab.waiting import wait_until

END_S = 30


@contextmanager
def reading(folder: Path, fifo: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the script as sshd does: by a shell, with pipes."""
    script = item_follower._SCRIPT.format(
        folder=shlex.quote(str(folder)), fifo=shlex.quote(str(fifo)), timeout=600
    )
    pipe: Any = subprocess.PIPE
    # dash and bash differ in what a job in the background has for its input.
    with subprocess.Popen(
        ["/bin/sh", "-c", script], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    ) as reader:
        try:
            wait_until(fifo.exists, what="the FIFO is there", timeout_s=END_S)
            yield reader
        finally:
            # Its group is ours alone, and may be gone.
            subprocess.run(["kill", "-9", "--", f"-{reader.pid}"], check=False, capture_output=True)


def left_of(fifo: Path) -> list[str]:
    """Return the processes that name the FIFO."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(fifo) in words and int(process.name) != os.getpid():
            found.append(words.decode())
    return found


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "0123abcd.fifo"


def test_the_reader_ends_with_its_input_when_the_module_never_comes(fifo: Path) -> None:
    with reading(fifo.parent, fifo) as reader:
        cast("IO[bytes]", reader.stdin).close()
        reader.stdin = None
        said, _ = reader.communicate(timeout=END_S)
    assert said == b""
    assert not fifo.exists()
    wait_until(lambda: not left_of(fifo), what="nothing is left", timeout_s=END_S)


def test_the_reader_ends_with_the_module_while_its_input_stays_open(fifo: Path) -> None:
    with reading(fifo.parent, fifo) as reader:
        with fifo.open("wb") as module:
            module.write(b"one\n")
        # Its end is seen by its output's, as sshd sees it: nobody may hold that open.
        assert cast("IO[bytes]", reader.stdout).read() == b"one\n"
        assert cast("IO[bytes]", reader.stderr).read() == b""
        reader.wait(END_S)
        assert not fifo.exists()
        wait_until(lambda: not left_of(fifo), what="nothing is left", timeout_s=END_S)


def test_what_a_host_still_lacks_is_not_its_last_word(tmp_path: Path) -> None:
    """Of several servers that moved at once each was taken for failed when it asked to be signed
    for: a drain moved none.
    """
    said = [
        {"id": "a", "failed": True, "missing_base": {"image_id": "i"}},
        {"id": "b", "failed": True, "missing_certificate": {"public_key": "k"}},
        {"id": "b", "failed": False},
        {"id": "c", "failed": True},
        {"id": "not asked about", "failed": False},
    ]
    target = tmp_path / "items.jsonl"
    text = "".join(f"{json.dumps(each)}\n" for each in said)
    with subprocess.Popen(["printf", "%s", text], stdout=subprocess.PIPE) as reader:
        item_follower._hand_out(reader, "h1", {"a", "b", "c"}, str(target))
    handed = [json.loads(line)["item"] for line in target.read_text().splitlines()]
    assert handed == [{"id": "b", "failed": False}, {"id": "c", "failed": True}]
