"""What plays by hand refuse, and what they keep to themselves: tenants' text and secrets."""

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.by_hand import DIRECTORY, EXAMPLE, NETWORK, SERVER, STATE_PATH, ByHand

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"flavour": {"vcpus": 1}}, "flavour"),
        ({"image": {"id": "x", "format": "vhdx"}}, "qcow2, raw, iso"),
        ({"flavor": {"vcpus": "many", "memory_mb": 1, "disk_gb": 1}}, "vcpus"),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name_and_what_is_allowed(
    by_hand: ByHand, tmp_path: Path, argument: dict[str, Any], said: str
) -> None:
    example = yaml.safe_load(EXAMPLE.read_text())
    example["servers"][0].update(argument)
    wrong = tmp_path / "server.yml"
    wrong.write_text(yaml.safe_dump(example))
    done = by_hand.try_play("server_create", file=wrong)
    assert done.returncode != 0
    assert said in done.stdout
    assert SERVER not in by_hand.on_host("ls", f"{STATE_PATH}/instances")


def test_a_server_is_not_made_on_two_hosts(by_hand: ByHand) -> None:
    done = by_hand.lab.playbook("server_create", "-e", f"@{EXAMPLE}")
    assert done.returncode != 0
    assert "Name it with -l HOST" in done.stdout + done.stderr


def marked_unsafe(value: Any) -> Any:
    """Return `value` with each string marked in JSON's form of !unsafe, as the controller does."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, dict):
        return {key: marked_unsafe(part) for key, part in value.items()}
    if isinstance(value, list):
        return [marked_unsafe(part) for part in value]
    return value


def test_tenant_text_stays_text_into_the_guests_metadata(by_hand: ByHand, tmp_path: Path) -> None:
    """Strings of an API are marked unsafe by whoever writes the arguments; nothing undoes that."""
    jinja, awkward = "{{ 7*7 }}", "\"'<&>]]>\n%{# ${HOME} #}"
    text = EXAMPLE.read_text().replace("{{ network_prefix }}", by_hand.lab.external_prefix)
    one = yaml.safe_load(text.replace("{{ image_path }}", str(by_hand.lab.image)))["servers"][0]
    one["networks"][0]["physical_network"] = "physnet1"
    one["networks"][0]["subnets"][0]["gateway_served"] = False
    one["name"] = jinja + awkward
    one["config_drive"] = True
    one["guest"]["meta"] = {jinja: jinja, "x": awkward}
    one["guest"]["public_keys"] = {jinja: f"ssh-ed25519 AAAA {jinja}"}
    user_data = base64.b64encode(f"#!/bin/sh\necho '{jinja}'\n".encode()).decode()
    arguments = tmp_path / "server.json"
    given = {"servers": [one], "server_secrets": {SERVER: {"user_data": user_data}}}
    arguments.write_text(json.dumps(marked_unsafe(given)))
    try:
        done = by_hand.try_play("server_create", file=arguments)
        assert done.returncode == 0, done.stdout
        named = re.search(
            "<novella:name>(.*?)</", by_hand.on_host("virsh", "dumpxml", SERVER), re.S
        )
        assert named
        assert html.unescape(named[1]) == jinja + awkward
        folder = f"{STATE_PATH}/networks/{NETWORK}/metadata"
        pushed = json.loads(by_hand.on_host("sh", "-c", f"cat {folder}/*.json"))
        bodies = [base64.b64decode(body).decode() for body in pushed["bodies"]]
        met = json.loads(bodies[pushed["paths"]["openstack/latest/meta_data.json"]])
        assert met["name"] == jinja + awkward
        assert met["meta"] == {jinja: jinja, "x": awkward}
        assert met["public_keys"] == {jinja: f"ssh-ed25519 AAAA {jinja}"}
        assert jinja in bodies[pushed["paths"]["openstack/latest/user_data"]]
        drive = by_hand.on_host(
            "sh", "-c", f"isoinfo -J -x /openstack/latest/user_data -i {DIRECTORY}/disk.config"
        )
        assert jinja in drive
    finally:
        by_hand.play("server_delete")


def test_a_controllers_server_is_left_alone_by_hand(server: ByHand) -> None:
    cloud = "3f0c8b1e-6f0a-4b7e-8a8e-1f7a2f1d9c55"
    record = f"{STATE_PATH}/fence/{SERVER}.json"
    kept = server.on_host("cat", record)
    claimed = json.dumps({"generation": 7, "owner": cloud})
    server.on_host("sh", "-c", f"echo '{claimed}' > {record}")
    try:
        done = server.try_play("server_stop")
        assert done.returncode != 0
        assert "server_override_owner" in done.stdout + done.stderr
        assert server.domain_state() == "running"
    finally:
        server.on_host("sh", "-c", f"echo '{kept.strip()}' > {record}")


def test_secrets_are_in_no_output_and_no_journal(by_hand: ByHand) -> None:
    canary = "c2VjcmV0LWNhbmFyeS1mb3ItdGhlLWd1ZXN0"
    plain = "secret-canary-for-the-guest"
    secrets = json.dumps({"server_secrets": {SERVER: {"user_data": canary, "admin_pass": plain}}})
    try:
        shown = by_hand.play("server_create", "--diff", "-vvv", "-e", secrets)
        # -vvv names the arguments of ansible-playbook itself, where this test put them.
        shown = shown.replace(secrets, "")
        assert canary not in shown
        assert plain not in shown
        journal = by_hand.on_host("cat", f"{STATE_PATH}/journal/{SERVER}.json")
        assert canary not in journal
        assert plain not in journal
    finally:
        by_hand.play("server_delete")
