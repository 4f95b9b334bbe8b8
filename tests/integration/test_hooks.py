"""An operator's own roles around operations on real hosts, by the controller and by hand."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.cloud import CloudForTests
from tests.fixtures.hand_lab import Lab

pytestmark = pytest.mark.lab

CHECK = """
- name: Refuse what has no ticket
  ansible.builtin.fail:
    msg: There is no ticket for {{ server_operation }}.
  when: servers[0].name is not search("ticket")
- name: Note that it was asked
  ansible.builtin.shell: echo {{ server_hooks_at }} {{ servers[0].id }} >> /tmp/asked
"""


@pytest.fixture
def role(tmp_path: Path) -> Path:
    tasks = tmp_path / "check" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text(CHECK)
    return tmp_path / "check"


@pytest.fixture
def hooked(cloud: CloudForTests, role: Path) -> Iterator[CloudForTests]:
    """The cloud, its controller started again with hooks; and without them afterwards."""
    hook = (
        '\n[[hooks]]\noperations = ["server_pause"]\naggregate = "all"\n'
        f"before = [{json.dumps(str(role))}]\nafter = [{json.dumps(str(role))}]\n"
        '[aggregates]\nall = ["h1", "h2"]\n'
    )
    with cloud.with_settings(hook):
        yield cloud


@pytest.mark.slow
def test_a_role_before_an_operation_forbids_it_or_lets_it_go_on(hooked: CloudForTests) -> None:
    cloud = hooked
    server = cloud.boot("without")
    host = cloud.host_of(server)

    cloud.tenant.compute.pause_server(server)
    cloud.settle(server, "ACTIVE")
    actions = {each.action: each for each in cloud.tenant.compute.server_actions(server)}
    assert actions["pause"].message == "There is no ticket for server_pause."
    assert cloud.on_host(host, "virsh", "domstate", server.id).stdout.strip() == "running"

    cloud.tenant.compute.update_server(server, name="with-ticket")
    cloud.tenant.compute.pause_server(server)
    cloud.settle(server, "PAUSED")
    asked = cloud.on_host(host, "cat", "/tmp/asked").stdout.splitlines()
    assert asked == [f"before {server.id}", f"after {server.id}"]
    cloud.delete(server)


def test_roles_run_by_hand_ahead_of_a_playbook(lab: Lab, role: Path, tmp_path: Path) -> None:
    """With a role that refuses, the playbook behind it is not begun."""
    arguments = tmp_path / "arguments.yml"
    server = {"id": "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a99", "name": "none"}
    told = {
        "servers": [server], "server_operation": "server_pause", "server_hooks_at": "before",
        "server_hooks": [str(role)],
    }  # fmt: skip
    arguments.write_text(json.dumps(told))
    behind = str(Path(__file__).parents[2] / "playbooks/host_info.yml")
    done = lab.playbook("server_hooks", behind, "-l", "h1", "-e", f"@{arguments}")
    assert done.returncode != 0
    assert "There is no ticket for server_pause." in done.stdout
    assert "Read what hosts have" not in done.stdout
    arguments.write_text(json.dumps(told | {"servers": [{**server, "name": "a ticket"}]}))
    done = lab.playbook("server_hooks", behind, "-l", "h1", "-e", f"@{arguments}")
    assert done.returncode == 0, done.stdout
    assert "Read what hosts have" in done.stdout
    assert lab.ssh("h1", ["cat", "/tmp/asked"]).stdout.split()[0] == "before"
