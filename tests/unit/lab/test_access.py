"""The inventory and the pinned host keys of a lab."""

import shlex
from pathlib import Path

import yaml

from lab.access import inventory_text, known_hosts_text
from lab.record import LabRecord

RECORD = LabRecord("demo", 4).with_host("h1", None).with_host("h2", None)


def test_the_inventory_lists_the_hosts_and_how_to_reach_them() -> None:
    inventory = yaml.safe_load(inventory_text(RECORD, Path("/var/lab")))
    group = inventory["all"]["children"]["compute_hosts"]
    assert group["hosts"] == {
        "h1": {"ansible_host": "10.90.4.11"},
        "h2": {"ansible_host": "10.90.4.12"},
    }
    assert group["vars"]["ansible_ssh_private_key_file"] == "/var/lab/id_ed25519"
    assert group["vars"]["compute_service_backend"] == "s6"
    assert group["vars"]["compute_flat_interfaces"] == {"physnet1": "eth1"}


def test_host_keys_are_checked_always_also_in_a_folder_with_a_space() -> None:
    inventory = yaml.safe_load(inventory_text(RECORD, Path('/my "labs"/a b')))
    variables = inventory["all"]["children"]["compute_hosts"]["vars"]
    words = shlex.split(variables["ansible_ssh_common_args"])
    assert "StrictHostKeyChecking=yes" in words
    assert 'UserKnownHostsFile=/my "labs"/a b/known_hosts' in words


def test_known_hosts_pin_each_host_by_address() -> None:
    keys = {"h1": "ssh-ed25519 AAAA1 comment", "h2": "ssh-ed25519 AAAA2"}
    assert known_hosts_text(RECORD, keys) == (
        "10.90.4.11 ssh-ed25519 AAAA1\n10.90.4.12 ssh-ed25519 AAAA2\n"
    )
