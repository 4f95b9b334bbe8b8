"""Hand each item's result of a batch out as it ends, while the module still works on the others.

Whoever runs the play names a file in the environment (`TARGET`) and reads there: a line of JSON for
each result, {"host", "item"}. Without it nothing is followed; results come with the task then, as
they do in any case.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import subprocess
import threading
from collections.abc import Collection, Iterator
from typing import IO, Any, cast

from ansible_collections.novella.cloud.plugins.plugin_utils import snapshot_stream

TARGET = "NOVELLA_ITEM_RESULTS"
# A result is some kilobytes, with its diffs some more.
LINE_MAX_BYTES = 4 << 20
JOIN_S = 5.0

# The module writes into the FIFO (module_utils/item_stream.py); its end, however it comes, is ours.
# A module that never opens it has no end: then the end of our own input is ours, which comes with
# that of the connection, or of whoever runs the play. `read` is the shell's own: nothing is left.
_SCRIPT = """\
exec 3<&0; umask 077; mkdir -p {folder} && mkfifo {fifo} || exit; trap 'rm -f {fifo}' EXIT
timeout {timeout} cat {fifo} & reader=$!
{{ read -r nothing; kill "$reader"; }} <&3 >/dev/null 2>&1 & watcher=$!
wait "$reader"; kill "$watcher" 2>/dev/null"""
TIMEOUT_S = 3600


@contextlib.contextmanager
def following(
    connection: Any, host: str, state_path: str, ids: Collection[str]
) -> Iterator[str | None]:
    """Yield the name of the stream that the module is to send its results to, or None.

    Within the block the results of `ids` are handed out. It is a session of its own on the play's
    connection, which never becomes the connection itself: that would keep our pipe open.
    """
    target = os.environ.get(TARGET)
    if not target or len(ids) < 2 or connection.transport != "ssh":
        yield None
        return
    name = secrets.token_hex(8)
    reader = _reader(connection, os.path.join(state_path, "journal"), name)
    thread = threading.Thread(target=_hand_out, args=(reader, host, ids, target), daemon=True)
    thread.start()
    try:
        yield name
    finally:
        # All that was sent is in the task's own answer by now.
        reader.terminate()
        thread.join(JOIN_S)
        reader.wait()
        cast("IO[bytes]", reader.stdin).close()


def hand_out(host: str, item: dict[str, Any]) -> None:
    """Hand out what a run's action plugin has to say of an item itself, if anybody reads it."""
    target = os.environ.get(TARGET)
    if target:
        with open(target, "ab", buffering=0) as out:
            out.write(json.dumps({"host": host, "item": item}).encode() + b"\n")


def _reader(connection: Any, folder: str, name: str) -> subprocess.Popen[bytes]:
    fifo = os.path.join(folder, f"{name}.fifo")
    script = _SCRIPT.format(folder=shlex.quote(folder), fifo=shlex.quote(fifo), timeout=TIMEOUT_S)
    command = f"/bin/sh -c {shlex.quote(script)}"
    if connection.become:
        command = connection.become.build_become_command(command, connection._shell)
    host = connection.get_option("host")
    argv = connection._build_command(connection.get_option("ssh_executable"), "ssh", host, command)
    return subprocess.Popen(
        [argv[0], b"-o", b"ControlMaster=no", *argv[1:]],
        # Nothing is sent: its end says that nobody reads any more.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _hand_out(
    reader: subprocess.Popen[bytes], host: str, ids: Collection[str], target: str
) -> None:
    stream = cast("IO[bytes]", reader.stdout)
    with contextlib.suppress(OSError), open(target, "ab", buffering=0) as out, stream:
        for item in _items(stream):
            # A host speaks for what it was asked.
            if item.get("id") in ids and _has_ended(item):
                out.write(json.dumps({"host": host, "item": item}).encode() + b"\n")


def _has_ended(item: dict[str, Any]) -> bool:
    """Whether it is the host's last word: not where it lacks something that this side brings, and
    takes the steps again then, nor where something is yet to be fetched from it.
    """
    lacks = item.get("missing_base") or item.get("missing_certificate")
    return not lacks and snapshot_stream.of_result(item) is None


def _items(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    while line := stream.readline(LINE_MAX_BYTES):
        with contextlib.suppress(ValueError):
            item = json.loads(line)
            if isinstance(item, dict):
                yield item
