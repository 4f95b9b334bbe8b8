"""Creates against the floor: the same guest by qemu-img, virsh define and virsh start.

Guests have a blank disk, so that they sit in their firmware and load no CPU. The rounds alternate:
one create through the API, one by hand on the same host, and so on; then ten and fifty at once. A
server of the same network runs on each host all the while: by hand, nobody makes a network.
"""

import contextlib
import json
import re
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import Report
from lab import contents, hosts
from lab.cloud import Cloud

# A lone create isn't ACTIVE before; then it is looked for closely, for looks load the machine too.
FIRST_LOOK_S = 0.7
POLL_S = 0.02
POLL_SEVERAL_S = 0.4
FLOOR = """set -e
mkdir {folder}
qemu-img create -q -f qcow2 -b {base} -F raw {folder}/disk 1G
printf %s '{xml}' > {folder}/floor.xml
virsh -q define {folder}/floor.xml
virsh -q start {name}
"""
FLOOR_CLEAN = "virsh -q destroy {name}; virsh -q undefine {name}; rm -rf {folder}"
# The name of those that are not measured.
KEPT = "kept"
INSTANCES = "/var/lib/novella/instances"


def measure(cloud: Cloud, report: Report, blank: Path, rounds: int, batches: int) -> None:
    """Add the figures of creates to `report`. `cloud` has its hosts and an admin called novella."""
    admin = contents.connect(cloud)
    contents.upload_image(admin, blank, name="blank")
    arguments = {
        "image_id": admin.image.find_image("blank").id,
        "flavor_id": admin.compute.find_flavor("m1.nano").id,
        "networks": [{"uuid": admin.network.find_network("public").id}],
    }
    admin.compute.update_quota_set(
        admin.current_project_id, instances=100, cores=100, ram=100 * 1024
    )
    # The first create on a host also fetches its image; that is measured by no round.
    _create_and_delete(cloud, admin, arguments, 4)
    first: list[float] = []
    for _ in range(rounds // 2):
        accepts, took = _at_once(cloud, admin, arguments, 1)
        first.append(took - accepts[0])
    by_hand = Floor(cloud, admin, arguments)
    names = by_hand.hosts
    accepted: list[float] = []
    active: list[float] = []
    floor: list[float] = []
    for _ in range(rounds):
        accepts, took = _at_once(cloud, admin, arguments, 1)
        accepted.extend(accepts)
        active.append(took - accepts[0])
        floor.append(by_hand.take(names[:1], 1))
    ten: list[float] = []
    floor_of_ten: list[float] = []
    fifty: list[float] = []
    floor_of_fifty: list[float] = []
    for _ in range(batches):
        accepts, took = _at_once(cloud, admin, arguments, 10)
        accepted.extend(accepts)
        ten.append(took)
        floor_of_ten.append(by_hand.take(names, 10))
        fifty.append(_in_one_request(cloud, admin, arguments, 50))
        floor_of_fifty.append(by_hand.take(names, 50))
    report.add("create accepted (202)", "s", accepted)
    report.add("accepted to ACTIVE, one", "s", active)
    report.add("accepted to ACTIVE, the first of its network on the host", "s", first)
    report.add("floor: qemu-img, define, start, one", "s", floor)
    _add_ratios(report, "accepted to ACTIVE / floor, one", active, floor, "at most 1.6")
    report.add("ten requests at once, until the last is ACTIVE", "s", ten)
    report.add("floor: ten by a shell loop on each of two hosts", "s", floor_of_ten)
    _add_ratios(report, "ten at once / floor", ten, floor_of_ten)
    report.add("fifty in one request, until the last is ACTIVE", "s", fifty)
    report.add("floor: fifty by a shell loop on each of two hosts", "s", floor_of_fifty)
    _add_ratios(report, "fifty in one request / floor", fifty, floor_of_fifty, "at most 1.15")


def _add_ratios(
    report: Report, name: str, ours: Sequence[float], floor: Sequence[float], aim: str = ""
) -> None:
    report.add(name, "x", [a / f for a, f in zip(ours, floor, strict=True)], aim=aim)


def _at_once(
    cloud: Cloud, admin: Any, arguments: dict[str, Any], count: int
) -> tuple[list[float], float]:
    """Return the seconds until each 202, and until the last of `count` is ACTIVE."""

    def create(number: int) -> tuple[str, float]:
        began = time.monotonic()
        server = admin.compute.create_server(name=f"bench-{number}", **arguments)
        return server.id, time.monotonic() - began

    began = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        made = list(pool.map(create, range(count)))
    if count == 1:
        time.sleep(FIRST_LOOK_S)
    _await_active(admin, count)
    took = time.monotonic() - began
    _delete_all(cloud, admin)
    return [seconds for _, seconds in made], took


def _in_one_request(cloud: Cloud, admin: Any, arguments: dict[str, Any], count: int) -> float:
    """Return the seconds from the request for `count` servers until the last is ACTIVE."""
    began = time.monotonic()
    admin.compute.create_server(name="bench", min_count=count, max_count=count, **arguments)
    _await_active(admin, count)
    took = time.monotonic() - began
    _delete_all(cloud, admin)
    return took


def _create_and_delete(cloud: Cloud, admin: Any, arguments: dict[str, Any], count: int) -> None:
    for _ in range(count):
        admin.compute.create_server(name="warm", **arguments)
    _await_active(admin, count)
    _delete_all(cloud, admin)


def _await_active(admin: Any, count: int) -> None:
    """Look until `count` servers are ACTIVE."""
    while admin.compute.get("/servers?status=BUILD&limit=1").json()["servers"]:
        time.sleep(POLL_S if count == 1 else POLL_SEVERAL_S)
    servers = _servers(admin, "/servers/detail")
    if (active := sum(server["status"] == "ACTIVE" for server in servers)) != count:
        faults = {server["fault"]["message"] for server in servers if "fault" in server}
        raise SystemExit(f"bench: {active} of {count} servers are ACTIVE. The others: {faults}")


def _delete_all(cloud: Cloud, admin: Any) -> None:
    """Delete what was measured, and wait until nothing of it is under way: who was in a security
    group with it is told that it has gone.
    """
    for server in _servers(admin, "/servers"):
        admin.compute.delete_server(server["id"])
    while _servers(admin, "/servers"):
        time.sleep(POLL_SEVERAL_S)
    await_rest(cloud)


def await_rest(cloud: Cloud) -> None:
    """Wait until no operation waits or runs."""
    while any(_operations(cloud, state) for state in ("queued", "running")):
        time.sleep(POLL_SEVERAL_S)


def _operations(cloud: Cloud, state: str) -> list[Any]:
    found: list[Any] = json.loads(cloud.novella("operation", "list", "--state", state, "--json"))
    return found


def _servers(admin: Any, path: str) -> list[dict[str, Any]]:
    """Return the servers that are measured."""
    listed = admin.compute.get(path).json()["servers"]
    return [server for server in listed if server["name"] != KEPT]


class Floor:
    """The same guest by hand: its disk, and its very definition, which one server of ours gave."""

    def __init__(self, cloud: Cloud, admin: Any, arguments: dict[str, Any]) -> None:
        self._cloud = cloud
        self.hosts = [host.name for host in hosts.status(cloud.lab_dir)]
        kept = [
            admin.compute.create_server(name=KEPT, availability_zone=f"nova:{host}", **arguments)
            for host in self.hosts
        ]
        _await_active(admin, 0)
        host, self._like = self.hosts[0], kept[0].id
        self._xml = self._said(host, ["virsh", "dumpxml", "--inactive", f"novella-{self._like}"])
        listed = self._said(host, ["ls", f"{INSTANCES}/_base"]).split()
        self._base = next(f"{INSTANCES}/_base/{name}" for name in listed if len(name) == 40)

    def take(self, names: Sequence[str], count: int) -> float:
        """Return the seconds of `count` guests, shared out to the hosts `names`, one after the
        other on each; they are removed.
        """
        made = [str(uuid.uuid4()) for _ in range(count)]
        shares = [(name, made[number :: len(names)]) for number, name in enumerate(names)]
        scripts = [(name, "".join(map(self._script, share))) for name, share in shares]
        began = time.monotonic()
        with ThreadPoolExecutor(len(names)) as pool:
            done = list(pool.map(lambda each: _run(self._cloud, *each), scripts))
        took = time.monotonic() - began
        for name, share in shares:
            for each in share:
                clean = FLOOR_CLEAN.format(name=f"novella-{each}", folder=f"{INSTANCES}/{each}")
                _run(self._cloud, name, clean)
        if any(done):
            raise SystemExit(f"bench: the floor failed: {done}")
        return took

    @contextlib.contextmanager
    def domain(self, host: str) -> Iterator["ByHand"]:
        """A guest on `host`, made by hand and running, until the block ends."""
        server_id = str(uuid.uuid4())
        made = ByHand(self._cloud, host, f"novella-{server_id}", server_id, self._base)
        made.take(self._script(server_id))
        try:
            yield made
        finally:
            made.take(FLOOR_CLEAN)

    def _script(self, server_id: str) -> str:
        xml = self._xml.replace(self._like, server_id).replace("'", '"')
        # Of its interface: another address, and a tap that libvirt names.
        xml = re.sub(r'<mac address="[^"]*"/>', f'<mac address="{_mac(server_id)}"/>', xml)
        xml = re.sub(r'<target dev="nvt[^"]*"/>', "", xml)
        return FLOOR.format(
            folder=f"{INSTANCES}/{server_id}", base=self._base, xml=xml, name=f"novella-{server_id}"
        )

    def _said(self, host: str, argv: list[str]) -> str:
        return hosts.run(self._cloud.lab_dir, host, argv).stdout


@dataclass(frozen=True, slots=True)
class ByHand:
    """A guest that no controller knows."""

    cloud: Cloud
    host: str
    name: str
    server_id: str
    base: str

    def take(self, script: str) -> float:
        """Return the seconds of `script`, which may name the guest, its folder and its base."""
        folder = f"{INSTANCES}/{self.server_id}"
        began = time.monotonic()
        wrong = _run(
            self.cloud,
            self.host,
            script.format(name=self.name, folder=folder, base=self.base),
        )
        took = time.monotonic() - began
        if wrong:
            raise SystemExit(f"bench: by hand: {wrong}")
        return took


def _mac(server_id: str) -> str:
    return "52:54:00:" + ":".join(server_id[at : at + 2] for at in (0, 2, 4))


def _run(cloud: Cloud, host: str, script: str) -> str:
    """Run `script` on the host; return what went wrong, if anything."""
    done = hosts.run(cloud.lab_dir, host, ["sh", "-c", script])
    return done.stderr if done.returncode else ""


def blank_image(directory: Path) -> Path:
    """Return a qcow2 with nothing in it."""
    path = directory / "blank.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "8M"], check=True)
    return path
