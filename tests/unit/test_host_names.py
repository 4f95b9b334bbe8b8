"""The controller and the hosts give the same names to the same things."""

import inspect

import pytest

from controller import host_names
from plugins.module_utils import names

ID = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
PAIRS = {
    "tap": "tap_name",
    "bridge": "bridge_name",
    "veth": "veth_name",
    "group_set": "group_set",
    "dhcp_service": "dhcp_service",
    "metadata_service": "metadata_service",
    "base_image": "base_image_name",
}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS.items())
def test_a_name_is_the_one_that_hosts_give(ours: str, theirs: str) -> None:
    assert getattr(host_names, ours)(ID) == getattr(names, theirs)(ID)


def test_a_ports_chains_end_in_the_short_form_of_its_id() -> None:
    for chain in (names.port_ingress_chain, names.port_egress_chain, names.port_source_chain):
        assert chain(ID)[5:] == host_names.short(ID)
    assert names.network_chain(ID)[5:] == host_names.short(ID)


def test_every_name_is_held_to_one() -> None:
    named = {name for name, _ in inspect.getmembers(host_names, inspect.isfunction)}
    assert named - set(PAIRS) == {"short", "domain"}
