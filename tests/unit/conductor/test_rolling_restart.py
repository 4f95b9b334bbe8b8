"""Rolling restarts of the real processes under load: nothing is lost, and nothing fails."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from pathlib import Path

from sqlalchemy.exc import OperationalError

from controller.core.bootstrap import bootstrap
from controller.db.models import Worker
from lab.waiting import wait_until
from tests.unit.conductor.conftest import Cloud
from tests.unit.conductor.test_restart import worker

PROJECT = Path(__file__).resolve().parents[3]


class Stream:
    """Calls `ask` again and again in a thread of its own, and keeps what went wrong."""

    def __init__(self, ask: object) -> None:
        self.done = 0
        self.errors: list[Exception] = []
        self._ask, self._stop = ask, threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def __enter__(self) -> "Stream":
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._stop.set()
        self._thread.join()

    def more(self, count: int) -> None:
        target = self.done + count
        wait_until(
            lambda: self.done >= target or self.errors, what=f"{count} more are done", timeout_s=60
        )

    def _loop(self) -> None:
        while not self._stop.wait(0.1):
            try:
                self._ask()  # type: ignore[operator]
            except Exception as error:
                self.errors.append(error)
                return
            self.done += 1


def wait_at_work(cloud: Cloud, name: str) -> None:
    def is_known() -> bool:
        with cloud.db.read() as session:
            return any(row.id.endswith(f"/{name}") for row in session.query(Worker))

    wait_until(is_known, what=f"worker {name} works", timeout_s=60)


def test_workers_restarted_one_by_one_under_load_fail_nothing(cloud: Cloud) -> None:
    for name in ("h1", "h2"):
        cloud.add_host(name, cpus=100, memory_mb=1 << 20, disk_gb=1 << 12)
    servers: list[str] = []

    def create() -> None:
        # The API answers 503 where the database is busy too long: nothing was accepted then.
        with contextlib.suppress(OperationalError):
            servers.append(cloud.add_server(f"s{len(servers)}"))

    with worker(cloud, 0.3, "one") as one, Stream(create) as stream:
        stream.more(5)
        with worker(cloud, 0.3, "two") as two:
            stream.more(5)
            wait_at_work(cloud, "one")
            wait_at_work(cloud, "two")
            one.send_signal(signal.SIGTERM)
            stream.more(5)
            assert one.wait(60) == 0
            with worker(cloud, 0.3, "one"):
                stream.more(5)
                wait_at_work(cloud, "one")
                two.send_signal(signal.SIGTERM)
                assert two.wait(60) == 0
                stream.more(5)
                stream.__exit__()
                wait_until(
                    lambda: not {"queued", "running"} & _states(cloud).keys(),
                    what="all operations have ended", timeout_s=60,
                )  # fmt: skip
    assert stream.errors == []
    assert _states(cloud) == {"succeeded": len(servers)}
    assert {cloud.server(each).state for each in servers} == {"active"}


def test_an_api_told_to_take_new_settings_refuses_no_request(cloud: Cloud) -> None:
    bootstrap(cloud.settings, cloud.db, "a password of ours")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = cloud.settings.state_dir / "api.toml"
    config.write_text(
        f'state_dir = "{cloud.settings.state_dir}"\nlisten_port = {port}\n'
        f'database_url = "{cloud.settings.database_url}"\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "controller.cli", "--config", str(config), "api"], cwd=PROJECT
    )

    def log_in() -> None:
        user = {"name": "admin", "domain": {"id": "default"}, "password": "a password of ours"}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/identity/v3/auth/tokens",
            json.dumps(body).encode(), {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 -- as above
            assert answer.status == 201

    def is_up() -> bool:
        with contextlib.suppress(OSError):
            log_in()
            return True
        return False

    try:
        wait_until(is_up, what="the API answers", timeout_s=60)
        with Stream(log_in) as stream:
            stream.more(3)
            for _ in range(2):
                process.send_signal(signal.SIGHUP)
                stream.more(10)
        assert stream.errors == []
        process.terminate()
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _states(cloud: Cloud) -> Counter[str]:
    return Counter(each.state for each in cloud.operations(kind="server_create"))
