"""A running domain's network cards: plugged and unplugged while it runs, as its definition says.

A card is known by its tap, whose name is made of its port's id. Plugging is done when libvirt
returns; unplugging waits for the guest, which must let the card go. Follows Nova's
attach_interface and its detaching of devices with retries (virt/libvirt/driver.py).
"""

from __future__ import annotations

import contextlib
import os
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import libvirt_connection, names, network_links, work
from .libvirt_connection import explained

POLL_S = 0.1
# libvirt's words for a guest that has a process to plug into.
LIVE_STATES = frozenset({"running", "paused"})

Cards = dict[str, ET.Element]


@dataclass(frozen=True)
class Plan:
    """Cards by their taps: those to plug in, and those to take out."""

    missing: Cards
    unwanted: Cards
    # Whose tap is gone from under the guest: to be taken out and plugged in again.
    dead: Cards = field(default_factory=dict)
    # Taps that are not in the bridge that they belong to, and that bridge.
    loose: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.missing or self.unwanted or self.dead or self.loose)

    def lines(self) -> list[str]:
        """Return a line for each card, as `domain_differences.differences` words it."""
        return [
            *(f"running guest: devices/interface[{tap}]: missing" for tap in self.missing),
            *(f"running guest: devices/interface[{tap}]: not wanted" for tap in self.unwanted),
            *(f"running guest: devices/interface[{tap}]: its tap is gone" for tap in self.dead),
            *(f"tap {tap}: not in bridge {bridge}" for tap, bridge in self.loose.items()),
        ]


def cards(root: ET.Element) -> Cards:
    """Return the network cards of a definition by their taps, those of ours alone."""
    found = {}
    for interface in root.iterfind("devices/interface"):
        target = interface.find("target")
        tap = "" if target is None else target.get("dev", "")
        if tap.startswith(names.TAP_PREFIX):
            found[tap] = interface
    return found


def plan(wanted: ET.Element, live: ET.Element, bridge_of: Callable[[str], str | None]) -> Plan:
    """Return what is to be done for `live` to have the cards of `wanted`.

    `bridge_of` says in which bridge a tap is: none is an empty text, and None that it is not there.
    """
    asked, there = cards(wanted), cards(live)
    both = {tap: card for tap, card in asked.items() if tap in there}
    found = {tap: bridge_of(tap) for tap in both}
    bridges = {tap: _bridge(card) for tap, card in both.items()}
    return Plan(
        {tap: card for tap, card in asked.items() if tap not in there},
        {tap: card for tap, card in there.items() if tap not in asked},
        {tap: card for tap, card in both.items() if found[tap] is None},
        {tap: bridges[tap] for tap in both if found[tap] not in (None, bridges[tap])},
    )


def _bridge(card: ET.Element) -> str:
    source = card.find("source")
    return "" if source is None else source.get("bridge", "")


def bridge_of(tap: str) -> str | None:
    """Return the bridge that a tap of this host is in, as `plan` asks for it."""
    folder = f"/sys/class/net/{tap}"
    if not os.path.exists(folder):
        return None
    try:
        return os.path.basename(os.readlink(f"{folder}/master"))
    except OSError:
        return ""


def carry_out(domain: Any, todo: Plan, timeout_s: float, interval_s: float) -> None:
    """Plug and unplug the cards of `todo` in the running `domain`.

    All or nothing, as far as the guest lets us: what was plugged in before a failure is taken out
    again. Raises WorkError, for a guest that keeps a card too.
    """
    import libvirt

    done: list[ET.Element] = []
    network_links.batch(f"link set {tap} master {bridge}" for tap, bridge in todo.loose.items())
    for tap in todo.dead:
        unplug(domain, tap, timeout_s, interval_s)
    try:
        for tap, card in {**todo.dead, **todo.missing}.items():
            with explained(f"plug {tap} into domain {domain.name()}"):
                domain.attachDeviceFlags(_text(card), libvirt.VIR_DOMAIN_AFFECT_LIVE)
            done.append(card)
        for tap in todo.unwanted:
            unplug(domain, tap, timeout_s, interval_s, while_paused=True)
    except BaseException:
        for card in done:
            _request_unplug(domain, card)
        raise


def unplug(
    domain: Any, tap: str, timeout_s: float, interval_s: float, *, while_paused: bool = False
) -> None:
    """Take the card with `tap` out, asking the guest again every `interval_s`.

    A guest that is just booting hears nothing; one that has crashed never will. One that is paused
    finds the request when it goes on, and the card passes nothing until then: with `while_paused`
    that is enough. Raises WorkError when the guest still has the card after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while (card := _live_card(domain, tap)) is not None:
        if time.monotonic() >= deadline:
            raise work.WorkError(
                f"Cannot take the network card {tap} out of domain {domain.name()}: its guest did "
                f"not let it go within {timeout_s} s. Try again when the guest has booted, or stop "
                "the server first."
            )
        _request_unplug(domain, card)
        if while_paused and libvirt_connection.state_name(domain) == "paused":
            return
        again = min(time.monotonic() + interval_s, deadline)
        while _live_card(domain, tap) is not None and time.monotonic() < again:
            time.sleep(POLL_S)


def _request_unplug(domain: Any, card: ET.Element) -> None:
    """Ask the guest to let a card go. Whether it does is seen in the definition alone."""
    import libvirt

    # A request that is under way already is refused in words that differ by version, and a card
    # that went meanwhile is no failure.
    with contextlib.suppress(libvirt.libvirtError):
        domain.detachDeviceFlags(_text(card), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _live_card(domain: Any, tap: str) -> ET.Element | None:
    if libvirt_connection.state_name(domain) not in LIVE_STATES:
        # It went off meanwhile, and all its cards with it.
        return None
    return cards(libvirt_connection.definition(domain, live=True)).get(tap)


def _text(card: ET.Element) -> str:
    return ET.tostring(card, encoding="unicode")
