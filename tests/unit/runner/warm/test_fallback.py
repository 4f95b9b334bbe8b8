"""When the server can't serve a run, the plain ansible-playbook does, and it shows; never stale."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from controller import fork_server_record
from controller.runner.warm import client, launch
from lab.waiting import wait_until

SAY = {"name": "Say", "ansible.builtin.debug": {"msg": "said"}}


def test_without_a_server_a_run_is_plain(warm: Any) -> None:
    warm.stop()
    ran = warm.run(SAY)
    assert (ran.status, ran.warm) == (0, False)
    assert "the fork server is away" in ran.why
    assert "said" in ran.said


def test_a_run_that_wants_another_configuration_is_plain(shared: Any) -> None:
    ran = shared.run(SAY, ANSIBLE_FORKS="3")
    assert (ran.status, ran.warm) == (0, False)
    assert ran.why == "the run's ANSIBLE_FORKS differs from the fork server's"


def test_a_server_that_hangs_is_not_waited_for_and_never_serves_late(
    warm: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    again = {"name": "Count", "ansible.builtin.debug": {
        "msg": "{{ lookup('pipe', 'echo once >> " + str(out) + "') }}"}}  # fmt: skip
    os.kill(warm.server.pid, signal.SIGSTOP)
    ran = warm.run(again)
    assert (ran.status, ran.warm) == (0, False)
    assert "did not answer within" in ran.why
    os.kill(warm.server.pid, signal.SIGCONT)
    # By the time that a later one is served, the first would have been.
    assert warm.run(SAY).warm
    wait_until(lambda: not warm.below(), what="its runs are over", timeout_s=20)
    assert out.read_text() == "once\n"


def test_a_client_of_another_version_is_refused(shared: Any) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(launch.address(shared.settings)))
        socket.send_fds(other, [b"novella-warm 9\n" + bytes(8)], [0, 1, 2])
        assert other.recv(100) == b"no the client is of another version\n"


def test_only_our_user_may_open_the_socket(shared: Any) -> None:
    address = launch.address(shared.settings)
    assert address.stat().st_mode & 0o777 == 0o600
    assert address.parent.stat().st_mode & 0o777 == 0o700
    for user, word in ((65534, b"no it is another user's\n"), (0, b"")):
        if os.getuid() != 0:
            pytest.skip("only root can try to be another user")
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            # As root the socket can be opened first, and the rights be given up afterwards.
            other = socket.socket(socket.AF_UNIX)
            other.settimeout(5)
            os.seteuid(user) if user else None
            try:
                other.connect(str(address))
            except PermissionError:
                os.write(writing, word)
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(writing)
        assert os.read(reading, 100) == word
        os.close(reading)


def test_a_changed_plugin_is_never_served_stale(warm: Any) -> None:
    tell_version = (
        {"name": "Look", "probe": {"to": "/dev/null"}, "register": "seen"},
        {"name": "Say", "ansible.builtin.debug": {"msg": "v{{ seen.version }}"}},
    )
    assert warm.run(*tell_version).warm
    before = warm.readied()
    warm.plugin.write_text(warm.plugin.read_text().replace("VERSION = 1", "VERSION = 22"))
    ran = warm.run(*tell_version)
    assert (ran.warm, ran.why) == (
        False,
        f"{warm.plugin} has changed since the fork server read it",
    )
    assert "v22" in ran.said
    warm.await_ready(before)
    ran = warm.run(*tell_version)
    assert (ran.status, ran.warm) == (0, True)
    assert "v22" in ran.said


def test_a_server_notices_by_itself_that_its_configuration_changed(warm: Any) -> None:
    before, pid = warm.readied(), warm.server.pid
    configuration = warm.path / "ansible.cfg"
    configuration.write_text(configuration.read_text() + "forks = 3\n")
    warm.await_ready(before)
    assert warm.server.pid == pid
    assert warm.probe()["constants"]["DEFAULT_FORKS"] == "3"
    # It says so, for the metrics.
    record = fork_server_record.read(warm.settings.metrics_dir)
    assert (record.pid, record.started, record.renewed, record.is_up) == (pid, 1, 1, True)
    wait_until(
        lambda: fork_server_record.read(warm.settings.metrics_dir).forked > 0,
        what="its forks are counted", timeout_s=60,
    )  # fmt: skip
    warm.stop()
    assert not fork_server_record.read(warm.settings.metrics_dir).is_up


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("the fork server is away (Connection refused)", "away"),
        ("the fork server did not answer within 2 s", "slow"),
        ("plugins/x.py has changed since the fork server read it", "stale"),
        ("the run's ANSIBLE_FORKS differs from the fork server's", "differs"),
        ("the client is of another version", "other"),
        ("the client did not start", "other"),
    ],
)
def test_reasons_have_few_kinds_for_the_metric(why: str, kind: str) -> None:
    assert launch.kind_of(why) == kind


def test_a_new_plugin_is_found(warm: Any) -> None:
    assert warm.run(SAY).warm
    (warm.plugin.parent / "another.py").write_text(warm.plugin.read_text())
    ran = warm.run({"name": "Look", "another": {"to": "/dev/null"}})
    assert (ran.status, ran.warm) == (0, False)


def test_playbooks_roles_and_variables_are_read_for_each_run(shared: Any) -> None:
    tasks = shared.path / "playbooks" / "roles" / "sayer" / "tasks" / "main.yml"
    tasks.parent.mkdir(parents=True)
    for word in ("first", "second"):
        tasks.write_text(f"- name: Say\n  ansible.builtin.debug: {{msg: 'the {word} word'}}\n")
        ran = shared.run({"name": "Say", "ansible.builtin.include_role": {"name": "sayer"}})
        assert (ran.status, ran.warm) == (0, True)
        assert f"the {word} word" in ran.said


def test_a_second_server_is_refused(shared: Any) -> None:
    command = [sys.executable, "-m", "controller.cli", "--config", str(shared.config)]
    done = subprocess.run([*command, "fork-server"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "serves at" in done.stderr
    assert shared.run(SAY).warm


def test_the_client_waits_no_longer_than_a_plain_start_takes() -> None:
    assert client.READY_S <= 2.0
