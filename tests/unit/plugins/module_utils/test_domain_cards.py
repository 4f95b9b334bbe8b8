"""Which cards a running domain lacks or has too many of, and what keeps its devices in place.

Plugging itself needs QEMU: tests/integration/test_interfaces.py.
"""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import domain_cards, domain_xml, work

BRIDGE = "nvb11111111111"
TAPS = ("nvt11111111111", "nvt22222222222")


def definition(*taps: str, addresses: bool = False, model: str = "virtio") -> ET.Element:
    cards = "".join(
        f'<interface type="bridge"><source bridge="{BRIDGE}"/>'
        f'<target dev="{tap}"/><model type="{model}"/>'
        + (f'<address type="pci" slot="0x0{slot}"/>' if addresses else "")
        + "</interface>"
        for slot, tap in enumerate(taps, 3)
    )
    return domain_xml.parse(
        f'<domain><os><type machine="pc-i440fx-7.2">hvm</type></os>'
        f"<devices>{cards}</devices></domain>",
        "the definition",
    )


def planned(
    wanted: ET.Element, live: ET.Element, bridges: dict[str, str | None] | None = None
) -> domain_cards.Plan:
    return domain_cards.plan(wanted, live, lambda tap: (bridges or {}).get(tap, BRIDGE))


def test_cards_are_told_apart_by_their_taps() -> None:
    plan = planned(definition(*TAPS), definition(TAPS[1], "nvt33333333333", "vnet0"))
    assert list(plan.missing) == [TAPS[0]]
    # What is not ours stays where it is.
    assert list(plan.unwanted) == ["nvt33333333333"]
    assert plan.lines() == [
        f"running guest: devices/interface[{TAPS[0]}]: missing",
        "running guest: devices/interface[nvt33333333333]: not wanted",
    ]
    assert not planned(definition(*TAPS), definition(*reversed(TAPS)))


def test_a_tap_that_is_gone_or_in_no_bridge_is_seen() -> None:
    both = definition(*TAPS)
    plan = planned(both, both, {TAPS[0]: None, TAPS[1]: ""})
    assert list(plan.dead) == [TAPS[0]]
    assert plan.loose == {TAPS[1]: BRIDGE}
    assert plan.lines() == [
        f"running guest: devices/interface[{TAPS[0]}]: its tap is gone",
        f"tap {TAPS[1]}: not in bridge {BRIDGE}",
    ]


def test_a_card_more_moves_no_other_to_another_slot() -> None:
    wanted = definition("nvt00000000000", *TAPS)
    domain_xml.keep_addresses(wanted, definition(*TAPS, addresses=True))
    slots = {
        tap: None if (address := card.find("address")) is None else address.get("slot")
        for tap, card in domain_cards.cards(wanted).items()
    }
    assert slots == {"nvt00000000000": None, TAPS[0]: "0x03", TAPS[1]: "0x04"}


def test_a_device_of_another_kind_takes_no_address_over() -> None:
    wanted = definition(*TAPS, model="e1000")
    domain_xml.keep_addresses(wanted, definition(*TAPS, addresses=True))
    assert wanted.find("devices/interface/address") is None


class Domain:
    """A domain as libvirt shows it, whose guest lets no card go, and has room for one more."""

    def __init__(self, *taps: str) -> None:
        self.taps = list(taps)
        self.asked: list[str] = []
        self.paused = False

    def name(self) -> str:
        return "novella-test"

    def state(self) -> tuple[int, int]:
        return (3 if self.paused else 1), 0

    def XMLDesc(self, _flags: int) -> str:  # noqa: N802 -- libvirt's name
        return ET.tostring(definition(*self.taps), encoding="unicode")

    def attachDeviceFlags(self, text: str, _flags: int) -> None:  # noqa: N802 -- libvirt's name
        import libvirt

        if len(self.taps) > 1:
            raise libvirt.libvirtError("No more available PCI slots")
        self.taps += self._taps(text)

    def detachDeviceFlags(self, text: str, _flags: int) -> None:  # noqa: N802 -- libvirt's name
        self.asked += self._taps(text)

    def _taps(self, text: str) -> list[str]:
        root = domain_xml.parse(f"<domain>{text}</domain>", "the card")
        return [target.get("dev", "") for target in root.iterfind("interface/target")]


def test_what_was_plugged_in_before_a_failure_is_taken_out_again() -> None:
    domain: Any = Domain("nvt00000000000")
    todo = planned(definition("nvt00000000000", *TAPS), definition("nvt00000000000"))
    with pytest.raises(work.WorkError, match=f"plug {TAPS[1]} into domain novella-test"):
        domain_cards.carry_out(domain, todo, 0, 0)
    assert domain.asked == [TAPS[0]]


def test_a_card_that_the_guest_keeps_is_a_failure_that_names_the_way_out() -> None:
    domain: Any = Domain(*TAPS)
    todo = planned(definition(TAPS[0]), definition(*TAPS))
    with pytest.raises(work.WorkError, match="stop the server first"):
        domain_cards.carry_out(domain, todo, 0.2, 0.1)
    assert set(domain.asked) == {TAPS[1]}


def test_a_paused_guest_is_asked_for_a_card_that_it_lets_go_when_it_goes_on() -> None:
    """It was waited for until the time was up, and lost the card afterwards all the same."""
    domain: Any = Domain(*TAPS)
    domain.paused = True
    domain_cards.carry_out(domain, planned(definition(TAPS[0]), definition(*TAPS)), 60, 5)
    assert domain.asked == [TAPS[1]]
    # One that is to be put in again must be gone before.
    gone = planned(definition(*TAPS), definition(*TAPS), {TAPS[1]: None})
    with pytest.raises(work.WorkError, match="stop the server first"):
        domain_cards.carry_out(domain, gone, 0.2, 0.1)
