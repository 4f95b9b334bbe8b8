"""Runs on a host: hold a server's lock, then pass bytes between our ends and libvirt's socket.

Sent as text (`python3 -c`), so nothing but the standard library. The lock is held for exactly as
long as libvirt's client on Ansible's side is connected: when that is gone, so is our input. A
machine that dies without a word says nothing of that: so the fence is looked at now and then, and a
successor's generation in it ends this as well.

Arguments: fence folder, server id, owner, generation ("" by hand), "override" or "", seconds to
wait for the lock, "look" or "". The rules are those of module_utils/fence.py; who only looks holds
nothing, and writes nothing.
"""

import fcntl
import json
import os
import selectors
import socket
import sys
import time
from typing import Any

SOCKETS = ("/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock")
CHUNK = 1 << 16
LOOK_EVERY_S = 1.0
NO_CLOUD = "00000000-0000-0000-0000-000000000000"


def main(
    folder: str, server_id: str, owner: str, generation: str, override: str, timeout_s: str,
    look: str,
) -> None:  # fmt: skip
    if look:
        relay(connected(), lambda: None)
        return
    os.makedirs(folder, mode=0o700, exist_ok=True)
    record = f"{folder}/{server_id}.json"
    mine = claimed(folder, record, owner, int(generation) if generation else None, bool(override))
    lock = os.open(f"{folder}/{server_id}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    wait_for(lock, float(timeout_s), f"another run has been at work on server {server_id}")
    check(record, mine)
    relay(connected(), lambda: check(record, mine))


def claimed(
    folder: str, path: str, owner: str, generation: Any, override: bool
) -> "dict[str, Any]":
    """Write this run into the server's record, and return what stands there then."""
    lock = os.open(f"{folder}/record.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    wait_for(lock, 30.0, "the records' lock is held")
    try:
        present = read(path)
        known = present.get("generation")
        if present and not override:
            if present["owner"] not in (owner, NO_CLOUD):
                sys.exit(
                    f"cloud {present['owner']} owns server {path}, and this run is for {owner}"
                )
            if generation is not None and known is not None and generation < known:
                sys.exit(f"generation {generation} has been succeeded by {known}")
        numbers = [each for each in (generation, known) if each is not None]
        wanted = {
            "generation": max(numbers, default=None),
            "owner": present["owner"] if present and override else owner,
        }
        if wanted != present:
            write(path, json.dumps(wanted) + "\n")
        return wanted
    finally:
        os.close(lock)


def read(path: str) -> "dict[str, Any]":
    try:
        with open(path, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
            return found
    except FileNotFoundError:
        return {}


def write(path: str, text: str) -> None:
    draft = f"{path}.{os.getpid()}"
    with open(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, path)


def wait_for(lock: int, timeout_s: float, why: str) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(f"{why} for {timeout_s:g} s")
            time.sleep(0.1)


def check(path: str, mine: "dict[str, Any]") -> None:
    """End unless the record on the host is this run's."""
    now = read(path)
    if now != mine:
        sys.exit(f"the fence has {now}, and this run {mine}: a newer one is on")


def connected() -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.connect(next((path for path in SOCKETS if os.path.exists(path)), SOCKETS[-1]))
    return server


def relay(server: socket.socket, look: Any) -> None:
    """Pass bytes both ways until either side has no more."""
    looked = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ, server.fileno())
        selector.register(server, selectors.EVENT_READ, 1)
        while True:
            for key, _ in selector.select(LOOK_EVERY_S):
                data = os.read(key.fd, CHUNK)
                if not data:
                    return
                while data:
                    data = data[os.write(key.data, data) :]
            if time.monotonic() - looked > LOOK_EVERY_S:
                look()
                looked = time.monotonic()


if __name__ == "__main__":
    main(*sys.argv[1:])
