"""Names and addresses of a lab."""

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.naming import LabNames, check_host_name, check_lab_name, fabric_ports, lab_name_of

LONGEST_LAB = "Abcdefghi9"
LONGEST_HOST = "compute-node1"


def test_longest_names_fit_into_an_interface_name() -> None:
    names = LabNames(check_lab_name(LONGEST_LAB), 255)
    interfaces = [names.mgmt_leg, names.external_leg, *fabric_ports(check_host_name(LONGEST_HOST))]
    assert max(len(interface) for interface in interfaces) <= 15


@pytest.mark.parametrize("name", ["", "1st", "a b", "a.b", "a-b", "abcdefghijk", "a/b", "é"])
def test_a_lab_name_that_does_not_fit_is_refused_by_name(name: str) -> None:
    with pytest.raises(LabError, match="Cannot name a lab"):
        check_lab_name(name)


@pytest.mark.parametrize("name", ["", "H1", "-h", "h-", "h.1", "h 1", "a" * 14, "../h1"])
def test_a_host_name_that_does_not_fit_is_refused_by_name(name: str) -> None:
    with pytest.raises(LabError, match="Cannot name a host"):
        check_host_name(name)


def test_two_labs_share_no_name_address_or_mac() -> None:
    one, two = LabNames("one", 0), LabNames("two", 1)
    for describe in (
        lambda n: n.mgmt_ip(11),
        lambda n: n.external_root_ip,
        lambda n: n.mgmt_mac(11),
        lambda n: n.external_mac(11),
        lambda n: n.host_netns("h1"),
        lambda n: n.fabric_netns,
        lambda n: n.mgmt_leg,
        lambda n: n.host_uuid("h1"),
    ):
        assert describe(one) != describe(two)


def test_a_folder_has_one_lab_for_a_purpose_and_shares_it_with_no_other_folder() -> None:
    mine = lab_name_of("m", Path("/work/mine"))
    assert mine == lab_name_of("m", Path("/work/mine"))
    assert mine not in (lab_name_of("m", Path("/work/yours")), lab_name_of("t", Path("/work/mine")))


def test_macs_and_identity_are_the_same_each_time_a_host_is_made() -> None:
    assert LabNames("demo", 3).mgmt_mac(11) == "02:1a:b0:00:03:0b"
    assert LabNames("demo", 3).host_uuid("h1") == LabNames("demo", 3).host_uuid("h1")
