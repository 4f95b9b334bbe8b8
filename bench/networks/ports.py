"""A port: made by the API, and plugged into a running guest, against the bare command.

By hand it is `virsh attach-device` of the like card on the same guest, into the same bridge: with
no address, no filter, no record, and no way back.
"""

import contextlib
import time
from collections.abc import Iterator

from bench import creates
from bench.load import Caller
from bench.networks.guests import Guest, World
from bench.report import Report
from lab import hosts
from lab.waiting import wait_until

PORTS = "/network/v2.0/ports"
POLL_S = 0.02
TIMEOUT_S = 60.0
CARD = """<interface type='bridge'>
<mac address='{mac}'/><source bridge='{bridge}'/><model type='virtio'/><mtu size='1450'/>
</interface>
"""
FILE = "/tmp/bench-card.xml"  # noqa: S108 -- on a host of the lab, which has a /tmp of its own
# Locally administered: no port of the cloud has one like it.
MAC = "52:54:00:be:4c:01"
# Made for each round.
CREATES = 20


def measure(world: World, report: Report, rounds: int) -> None:
    """Add the figures of creating ports, and of plugging one into the first guest."""
    caller = Caller(world.cloud, world.admin.authorize())
    created = [_create_and_delete(world, caller) for _ in range(rounds * CREATES)]
    report.add("port created by the API", "ms", created)
    guest = world.guests[0]
    ours: list[float] = []
    floor: list[float] = []
    with _by_hand(world, guest) as plug_by_hand:
        for _ in range(rounds):
            ours.append(_plug(world, caller, guest))
            creates.await_rest(world.cloud)
            floor.append(plug_by_hand())
    report.add("port plugged into a running guest, until it is ACTIVE", "s", ours)
    report.add("floor: virsh attach-device", "s", floor)
    ratios = [a / f for a, f in zip(ours, floor, strict=True)]
    report.add("port plugged / floor", "x", ratios)


def _create_and_delete(world: World, caller: Caller) -> float:
    body = {"port": {"network_id": world.network_id, "name": "bench"}}
    took = caller.timed_ms("POST", PORTS, body, 201)
    (port,) = caller.get(f"{PORTS}?name=bench")["ports"]
    caller.timed_ms("DELETE", f"{PORTS}/{port['id']}", None, 204)
    return took


def _plug(world: World, caller: Caller, guest: Guest) -> float:
    """Return the seconds from the request until its port is ACTIVE; the card goes again."""
    cards = f"/compute/v2.1/servers/{guest.server_id}/os-interface"
    body = {"interfaceAttachment": {"net_id": world.network_id}}
    before = {each["port_id"] for each in caller.get(cards)["interfaceAttachments"]}
    began = time.monotonic()
    caller.timed_ms("POST", cards, body, 200)
    listed = caller.get(f"{PORTS}?device_id={guest.server_id}")["ports"]
    (port_id,) = {each["id"] for each in listed} - before
    while caller.get(f"{PORTS}/{port_id}")["port"]["status"] != "ACTIVE":
        if time.monotonic() - began > TIMEOUT_S:
            raise SystemExit(f"bench: port {port_id} is not ACTIVE after {TIMEOUT_S} s")
        time.sleep(POLL_S)
    took = time.monotonic() - began
    creates.await_rest(world.cloud)
    caller.timed_ms("DELETE", f"{cards}/{port_id}", None, 202)
    wait_until(
        lambda: len(caller.get(cards)["interfaceAttachments"]) == len(before),
        what="the card is taken out", timeout_s=TIMEOUT_S, interval_s=0.2,
    )  # fmt: skip
    return took


class _ByHand:
    def __init__(self, world: World, guest: Guest) -> None:
        self._lab, self._host = world.cloud.lab_dir, guest.host
        self._domain = f"novella-{guest.server_id}"
        card = CARD.format(mac=MAC, bridge=world.bridge)
        hosts.run(self._lab, self._host, ["tee", FILE], stdin=card)

    def __call__(self) -> float:
        """Return the seconds of the bare command; what it plugged in goes again."""
        began = time.monotonic()
        hosts.run(self._lab, self._host, ["virsh", "-q", "attach-device", self._domain, FILE])
        took = time.monotonic() - began
        self.take_out()
        return took

    def take_out(self) -> None:
        if not self._is_in():
            return
        hosts.run(self._lab, self._host, ["virsh", "-q", "detach-device", self._domain, FILE])
        wait_until(
            lambda: not self._is_in(), what="the card by hand is gone", timeout_s=TIMEOUT_S,
            interval_s=0.2,
        )  # fmt: skip

    def _is_in(self) -> bool:
        return MAC in hosts.run(self._lab, self._host, ["virsh", "domiflist", self._domain]).stdout


@contextlib.contextmanager
def _by_hand(world: World, guest: Guest) -> Iterator[_ByHand]:
    plug = _ByHand(world, guest)
    try:
        yield plug
    finally:
        plug.take_out()
