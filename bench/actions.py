"""Each action against the bare commands that do the same on the same host.

Guests have a blank disk, so that they sit in their firmware and load no CPU; no ACPI answers there,
so a guest has a second to shut down, by hand too. The rounds alternate: an action through the API
until its server is at rest again, then the same by hand on a domain beside it. What is written by
hand is the least that does the job: no lock, no record, no network, no filter, no way back.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import creates
from bench.report import Report
from lab import contents
from lab.cloud import Cloud

POLL_S = 0.02
TIMEOUT_S = 120.0
OFF = "virsh -q shutdown {name}; sleep 1; virsh -q destroy {name}\n"
NEW_DISK = "rm {folder}/disk; qemu-img create -q -f qcow2 -b {base} -F raw {folder}/disk 1G\n"
START = "virsh -q define {folder}/floor.xml; virsh -q start {name}\n"
COPY = "qemu-img convert -q -U -O qcow2 {folder}/disk {folder}/copy; rm {folder}/copy\n"


@dataclass(frozen=True, slots=True)
class Action:
    """`body` is asked of the server, which then has `status`; `by_hand` does the same."""

    name: str
    body: dict[str, Any]
    status: str
    by_hand: str = ""


@dataclass(slots=True)
class Timed:
    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)


def measure(cloud: Cloud, report: Report, blank: Path, rounds: int) -> None:
    """Add the figures of the actions to `report`. `cloud` has hosts and an admin called novella."""
    admin = contents.connect(cloud)
    image = contents.upload_image(admin, blank, name="blank")
    admin.image.update_image(image.id, os_shutdown_timeout="1")
    flavors = [
        admin.compute.create_flavor(name=f"bench.{memory}", vcpus=1, ram=memory, disk=1)
        for memory in (64, 80)
    ]
    arguments = {
        "image_id": image.id,
        "flavor_id": flavors[0].id,
        "networks": [{"uuid": admin.network.find_network("public").id}],
    }
    by_hand = creates.Floor(cloud, admin, arguments)
    host = by_hand.hosts[0]
    server = admin.compute.create_server(
        name="bench", availability_zone=f"nova:{host}", **arguments
    )
    _await(admin, server.id, "ACTIVE")
    timed: dict[str, Timed] = {}
    with by_hand.domain(host) as domain:
        for _ in range(rounds):
            for action in _actions(image.id, flavors[1].id):
                entry = timed.setdefault(action.name, Timed())
                entry.ours.append(_take(admin, server.id, action))
                if action.by_hand:
                    entry.floor.append(domain.take(action.by_hand))
            _put_back(cloud, admin)
    for name, entry in timed.items():
        report.add(name, "s", entry.ours)
        if entry.floor:
            report.add(f"{name}, by hand", "s", entry.floor)
            ratios = [a / f for a, f in zip(entry.ours, entry.floor, strict=True)]
            report.add(f"{name} / by hand", "x", ratios)


def _actions(image_id: str, larger: str) -> Sequence[Action]:
    return (
        Action("pause", {"pause": None}, "PAUSED", "virsh -q suspend {name}"),
        Action("unpause", {"unpause": None}, "ACTIVE", "virsh -q resume {name}"),
        Action("suspend", {"suspend": None}, "SUSPENDED", "virsh -q managedsave {name}"),
        Action("resume", {"resume": None}, "ACTIVE", "virsh -q start {name}"),
        Action("stop", {"os-stop": None}, "SHUTOFF", OFF),
        Action("start", {"os-start": None}, "ACTIVE", "virsh -q start {name}"),
        Action("reboot, soft", {"reboot": {"type": "SOFT"}}, "ACTIVE", OFF + START),
        Action(
            "reboot, hard", {"reboot": {"type": "HARD"}}, "ACTIVE",
            "virsh -q destroy {name}\n" + START,
        ),
        Action("rebuild", {"rebuild": {"imageRef": image_id}}, "ACTIVE", OFF + NEW_DISK + START),
        Action("rescue", {"rescue": None}, "RESCUE", OFF + NEW_DISK + START),
        Action("unrescue", {"unrescue": None}, "ACTIVE", "virsh -q destroy {name}\n" + START),
        Action("createImage", {"createImage": {"name": "bench"}}, "ACTIVE", COPY),
        Action("resize", {"resize": {"flavorRef": larger}}, "VERIFY_RESIZE", OFF + COPY + START),
        Action("revert", {"revertResize": None}, "ACTIVE", OFF + START),
        Action("migrate", {"migrate": None}, "VERIFY_RESIZE", OFF + COPY + START),
        Action("confirm", {"confirmResize": None}, "ACTIVE"),
        Action("shelve", {"shelve": None}, "SHELVED_OFFLOADED", OFF + COPY),
        Action("unshelve", {"unshelve": None}, "ACTIVE", NEW_DISK + START),
    )  # fmt: skip


def _take(admin: Any, server_id: str, action: Action) -> float:
    """Return the seconds from the request until the server is at rest in its new status."""
    began = time.monotonic()
    answer = admin.compute.post(
        f"/servers/{server_id}/action", json=action.body, microversion="2.79"
    )
    if answer.status_code not in (200, 202, 204):
        raise SystemExit(f"bench: {action.name} was refused: {answer.text}")
    _await(admin, server_id, action.status)
    return time.monotonic() - began


def _await(admin: Any, server_id: str, status: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        shown = admin.compute.get(f"/servers/{server_id}").json()["server"]
        if shown["OS-EXT-STS:task_state"] is None:
            if shown["status"] == status:
                return
            if shown["status"] == "ERROR":
                raise SystemExit(f"bench: wanted {status}: {shown.get('fault')}")
        time.sleep(POLL_S)
    raise SystemExit(f"bench: the server is {shown['status']}, not {status}, for {TIMEOUT_S} s")


def _put_back(cloud: Cloud, admin: Any) -> None:
    """Have nothing under way and no image of the round left, for the next round."""
    for image in admin.image.images():
        if image.name != "blank":
            admin.image.delete_image(image.id)
    creates.await_rest(cloud)
