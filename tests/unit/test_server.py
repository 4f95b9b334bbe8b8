"""The API's processes, as `novella api` starts them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from controller import cli
from controller.core.bootstrap import bootstrap
from controller.db import migrate
from controller.db.session import Database
from controller.keys import make_keys
from controller.settings import PROJECT_DIR, Settings
from lab.servers import any_free_port
from lab.waiting import wait_until


@pytest.fixture
def port() -> int:
    return any_free_port()


@pytest.fixture
def api(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A running `novella api` that answers at `port`."""
    settings = Settings(state_dir=tmp_path / "state")
    settings.state_dir.mkdir(mode=0o700)
    migrate.upgrade(settings)
    db = Database(settings.db_url)
    bootstrap(settings, db, "a password of ours")
    db.dispose()
    with _running(tmp_path, port, metrics_listen="") as process:
        yield process


@contextlib.contextmanager
def _running(tmp_path: Path, port: int, **settings: str | int) -> Iterator[subprocess.Popen[bytes]]:
    """`novella api` with these settings, once it answers; what it logs is in the file 'log'."""
    config = tmp_path / "novella.toml"
    known = {"state_dir": f"{tmp_path}/state", "listen_port": port, **settings}
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in known.items()))
    command = [sys.executable, "-m", "controller.cli", "--config", str(config), "api"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=PROJECT_DIR, stderr=log)
    try:
        wait_until(lambda: _answers(port), what="the API answers", timeout_s=180)
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        return b" 200 " in client.recv(100)
    return False


def test_what_answers_goes_at_once_with_an_api_that_is_killed_and_keeps_no_port(
    api: subprocess.Popen[bytes], port: int
) -> None:
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n")
        # Answered behind it, so the half request is in a thread's hands by now.
        assert _answers(port)
        api.send_signal(signal.SIGKILL)
        api.wait()
        with contextlib.suppress(ConnectionError):
            client.sendall(b"\r\n")
            assert client.recv(100) == b""
    wait_until(lambda: _is_free(port), what="the port is free", timeout_s=60)


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_server(("127.0.0.1", port)).close()
        return True
    return False


@pytest.mark.parametrize("api_workers", [1, 2])
def test_an_api_that_starts_while_the_database_is_away_says_so_and_answers(
    tmp_path: Path, port: int, api_workers: int
) -> None:
    """Somebody listens on the metrics' port, too; neither keeps it from its work."""
    database_url = f"postgresql://novella@127.0.0.1:{any_free_port()}/novella"
    make_keys(Settings(state_dir=tmp_path / "state"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        settings = {"database_url": database_url, "metrics_listen": taken}
        with (
            _running(tmp_path, port, api_workers=api_workers, **settings),
            pytest.raises(HTTPError) as caught,
        ):
            urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30)
        assert caught.value.status == 503
        caught.value.close()
    said = (tmp_path / "log").read_text()
    assert "the database is away or too busy: connection failed" in said
    assert f"nobody can read metrics: cannot listen on {taken}" in said
    assert "Traceback" not in said


def test_a_command_without_its_database_says_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "novella.toml"
    config.write_text(f'state_dir = "{tmp_path}/state"\ndatabase_url = "sqlite:////dev/null/x"\n')
    assert cli.main(["--config", str(config), "operation", "list"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("novella: the database is away, or too busy: unable to open")


def test_an_api_that_is_stopped_answers_whoever_is_connected_already(
    api: subprocess.Popen[bytes], port: int
) -> None:
    worker = _child(api.pid)
    os.kill(worker, signal.SIGSTOP)
    # On a busy machine the order to stop comes first, and is taken, if this one has yet to be.
    wait_until(lambda: _stands_still(worker), what="the worker stands still", timeout_s=30)
    with contextlib.ExitStack() as clients:
        connected = [
            clients.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            for _ in range(3)
        ]
        for client in connected:
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        api.terminate()
        wait_until(lambda: _awaits(worker, signal.SIGTERM), what="it is told to stop", timeout_s=30)
        os.kill(worker, signal.SIGCONT)
        assert all(b" 200 " in client.recv(100) for client in connected)
    assert api.wait(60) == 0


def test_an_api_that_is_stopped_lets_nobody_in_while_it_ends_what_is_in_hand(
    api: subprocess.Popen[bytes], port: int
) -> None:
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n")
        # One that came later has been answered, so this one is in hand.
        assert _answers(port)
        api.terminate()
        wait_until(lambda: _is_refused(port), what="nobody is let in", timeout_s=8)
        client.sendall(b"\r\n")
        assert b" 200 " in client.recv(100)
    assert api.wait(60) == 0


def _child(pid: int) -> int:
    (found,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found)


def _stands_still(pid: int) -> bool:
    """Whether each thread of the process is stopped by a signal."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _awaits(pid: int, wanted: signal.Signals) -> bool:
    """Whether the signal was sent to the process, which stands still."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (pending,) = [line.split()[1] for line in lines if line.startswith("ShdPnd:")]
    return bool(int(pending, 16) >> (wanted - 1) & 1)


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False
