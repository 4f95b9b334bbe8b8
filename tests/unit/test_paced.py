"""Clients that send slowly keep no thread of the API."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller import paced
from controller.paced import PacedSocket
from lab.waiting import wait_until

Pair = tuple[PacedSocket, socket.socket]


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Our end of a connection, and the client's."""
    monkeypatch.setattr(paced, "GRACE_S", 0.2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield PacedSocket(ours), theirs


def test_who_says_nothing_is_given_up(pair: Pair) -> None:
    ours, theirs = pair
    ours.setblocking(True)
    theirs.send(b"{")
    assert ours.recv(100) == b"{"
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            ours.recv(100)
    assert time.monotonic() - started < 1


def test_what_came_fast_pays_for_a_pause(pair: Pair) -> None:
    ours, theirs = pair
    ours.setblocking(True)
    theirs.send(b"x" * paced.BYTES_PER_S)
    ours.recv(paced.BYTES_PER_S)
    time.sleep(0.4)
    theirs.send(b"y")
    assert ours.recv(100) == b"y"


def test_each_request_has_its_own_time_and_the_poller_waits_for_none(pair: Pair) -> None:
    ours, theirs = pair
    ours.setblocking(True)
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(100)
    time.sleep(0.3)
    theirs.send(b"next")
    ours.setblocking(True)
    assert ours.recv(100) == b"next"


def test_a_shorter_wait_of_gunicorns_own_stays_short(pair: Pair) -> None:
    ours, _ = pair
    ours.setblocking(True)
    ours.settimeout(0.05)
    started = time.monotonic()
    with pytest.raises(ConnectionResetError):
        ours.recv(100)
    assert time.monotonic() - started < 0.15
    assert ours.gettimeout() == 0.05


def test_the_api_answers_though_all_its_threads_met_slow_clients(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from controller import paced
        from controller.core.bootstrap import bootstrap
        from controller.db.session import Database
        from controller.server import serve_api
        from controller.settings import Settings
        from tests.fixtures import schema

        paced.GRACE_S = 1.0
        state, port = Path(sys.argv[1]), int(sys.argv[2])
        settings = Settings(state_dir=state, listen_port=port, api_threads=1)
        db = Database(settings.db_url)
        schema.make(db)
        bootstrap(settings, db, "a password of ours")
        db.dispose()
        serve_api(settings)
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    api = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path), str(address[1])],
        start_new_session=True,
    )
    head = b"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
    slow: list[socket.socket] = []
    try:
        wait_until(
            lambda: _asks(address, b"GET /identity/v3 HTTP/1.1\r\n"),
            what="the API answers",
            timeout_s=60,
        )
        for _ in range(2):
            slow.append(socket.create_connection(address))
            slow[-1].sendall(head + b"{")
        time.sleep(0.2)
        assert _asks(address, b"GET /identity/v3 HTTP/1.1\r\n", wait_s=8)
        slow[0].settimeout(8)
        assert slow[0].recv(100).startswith(b"HTTP/1.1 400 ")
    finally:
        for each in slow:
            each.close()
        os.killpg(api.pid, signal.SIGTERM)
        api.wait(30)


def _asks(address: tuple[str, int], request: bytes, wait_s: float = 2) -> bool:
    try:
        with socket.create_connection(address, timeout=wait_s) as client:
            client.sendall(request + b"Host: x\r\nConnection: close\r\n\r\n")
            return client.recv(100).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
