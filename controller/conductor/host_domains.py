"""The domains of a host that the cloud does not know, and which of them can be taken over.

All of it comes from the host. What can't be represented has a line in `problems` that says what,
why, and the way out; the rest becomes the plan of a server, see core.adopted_servers.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import host_access, hosts
from controller.db.base import new_id
from controller.db.models import Host, Server
from controller.db.session import Database
from controller.errors import HostFailed
from controller.runner.requests import OK, Executor, Run
from controller.settings import Settings
from controller.states import ACTIVE, PAUSED, STOPPED

PLAYBOOK = "host_domains"
TIMEOUT_S = 120
# What runs by hand mark domains with.
NO_CLOUD = "00000000-0000-0000-0000-000000000000"
STATES = {"running": ACTIVE, "paused": PAUSED, "stopped": STOPPED}
OWN_DISKS = ("disk", "disk.local", "disk.swap", "disk.config")
GIB = 1 << 30
MIB = 1 << 20
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class UnknownDomain:
    """A domain that no server of this cloud stands for. `plan` is None where there are problems."""

    id: str
    name: str
    state: str
    vcpus: int
    memory_mb: int
    problems: tuple[str, ...]
    plan: dict[str, Any] | None


def unknown(
    settings: Settings, db: Database, executor: Executor, host: Host
) -> list[UnknownDomain]:
    """Return the host's domains that the cloud does not know, by name. Raises HostFailed."""
    with db.read() as session:
        access = host_access.of_host(settings, hosts.get(session, host.id))
    run = Run(id=new_id(), playbook=PLAYBOOK, hosts=(access,), arguments={}, timeout_s=TIMEOUT_S)
    result = executor.run(run).of(host.id)
    said = result.facts.get("domains")
    if result.status != OK or not isinstance(said, list):
        raise HostFailed(
            f"Host {host.name} could not be asked for its domains: "
            f"{result.message or 'it said nothing of them'}. Run playbooks/host_domains.yml on it.",
            reason=result.message,
        )
    folder = str(result.facts.get("state_path"))
    domains = [each for each in said if isinstance(each, dict) and each.get("id")]
    with db.read() as session:
        known = _known(session, [str(each["id"]) for each in domains])
    return [_read(each, folder) for each in domains if known.get(str(each["id"])) != "living"]


def _known(session: Session, ids: list[str]) -> dict[str, str]:
    query = select(Server.id, Server.deleted_at).where(Server.id.in_(ids))
    return {row.id: "deleted" if row.deleted_at else "living" for row in session.execute(query)}


def _read(said: Mapping[str, Any], state_path: str) -> UnknownDomain:
    problems: tuple[str, ...] = ()
    plan = None
    try:
        domain = _Domain(said, f"{state_path}/instances")
        problems = tuple(domain.problems())
        plan = None if problems else domain.plan()
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        problems = (f"what the host says of it can't be read ({type(error).__name__})",)
    return UnknownDomain(
        str(said["id"]), str(said.get("name")), str(said.get("state")),
        _number(said.get("vcpus")), _number(said.get("memory_mb")), problems, plan,
    )  # fmt: skip


def _number(said: Any) -> int:
    return said if isinstance(said, int) else 0


class _Domain:
    """One domain as the host describes it (module host_domains_info)."""

    def __init__(self, said: Mapping[str, Any], instances: str) -> None:
        self._said = said
        self._id = str(said["id"])
        self._folder = f"{instances}/{self._id}"
        self._bases = f"{instances}/_base"
        self._disks = {str(disk["source"]): disk for disk in said["disks"] if disk["source"]}
        self._guest: dict[str, Any] = said.get("guest") or {}

    def problems(self) -> Iterator[str]:
        """Yield what keeps the domain from being a server of ours, each with the way out."""
        yield from self._whose()
        if not _UUID.fullmatch(self._id) or self._said["name"] != f"novella-{self._id}":
            yield (
                f"its name is {self._said['name']}, and a server's is novella-<uuid>. Make a "
                "server of its own from a copy of its disk: openstack image create, server create"
            )
        if not self._said["persistent"]:
            yield "it is transient: libvirt forgets it when it ends. Define it first"
        if self._said["state"] not in STATES:
            yield f"it is {self._said['state']}. Wait until it is running, paused or stopped"
        yield from self._disk_problems()
        for card in self._said["interfaces"]:
            yield from _card_problems(card)
        if len(self._guest.get("public_keys") or {}) > 1:
            yield "its guest was given several keys, and a server has one. Leave one, by hand"

    def _whose(self) -> Iterator[str]:
        cloud = self._said["cloud_id"]
        if cloud is None:
            yield (
                "it bears no mark of Novella, so its disks, rules and addresses are not as ours. "
                "Make a server from a copy of its disk: openstack image create, server create"
            )
        elif cloud != NO_CLOUD:
            yield (
                f"it belongs to cloud {cloud}. If that is this cloud, `novella audit` says what "
                "became of the server; if it is another one, it must be moved from there"
            )

    def _disk_problems(self) -> Iterator[str]:
        own = {f"{self._folder}/{name}" for name in OWN_DISKS}
        for path in sorted(self._disks.keys() - own):
            yield (
                f"its disk {path} is none of {self._folder}/{{{','.join(OWN_DISKS)}}}: volumes and "
                "other places are not supported. Take the disk off, or move it there by hand"
            )
        root = self._disks.get(f"{self._folder}/disk")
        if root is None:
            yield f"it has no root disk {self._folder}/disk. Make it there, by hand"
        elif not str(root["backing_file"] or "").startswith(f"{self._bases}/"):
            yield (
                f"its root disk does not stand on an image in {self._bases}. Make a server from a "
                "copy of its disk: openstack image create, server create"
            )

    def plan(self) -> dict[str, Any]:
        """Return what core.adopted_servers takes of a domain without problems."""
        mark, guest = self._said["mark"], self._guest
        base = str(self._disks[f"{self._folder}/disk"]["backing_file"])
        return {
            "id": self._id,
            "state": STATES[self._said["state"]],
            "name": str(guest.get("name") or mark.get("name") or self._id),
            "hostname": str(guest.get("hostname") or ""),
            "flavor": {"name": str(mark.get("flavor") or "")} | self._sizes(),
            "project": str(mark.get("project") or ""),
            "base": base.removeprefix(f"{self._bases}/"),
            "config_drive": f"{self._folder}/disk.config" in self._disks,
            "cards": [_card(card) for card in self._said["interfaces"]],
            "availability_zone": guest.get("availability_zone"),
            "launch_index": int(guest.get("launch_index") or 0),
            "public_keys": dict(guest.get("public_keys") or {}),
            "meta": dict(guest.get("meta") or {}),
            "security_groups": str(guest.get("security_groups") or ""),
            "password_serial": int(guest.get("password_serial") or 0),
            "user_data_sha256": guest.get("user_data_sha256"),
            "generation": int((self._said.get("fence") or {}).get("generation") or 0),
        }

    def _sizes(self) -> dict[str, int]:
        root = self._bytes("disk")
        return {
            "vcpus": int(self._said["vcpus"]),
            "memory_mb": int(self._said["memory_mb"]),
            # 0: as large as the image is.
            "disk_gb": 0 if root % GIB else root // GIB,
            "ephemeral_gb": self._bytes("disk.local") // GIB,
            "swap_mb": self._bytes("disk.swap") // MIB,
        }

    def _bytes(self, name: str) -> int:
        disk = self._disks.get(f"{self._folder}/{name}") or {}
        return int(disk.get("virtual_size_bytes") or 0)


def _card_problems(card: Mapping[str, Any]) -> Iterator[str]:
    port, mac = card["port"], str(card["mac_address"])
    if port is None:
        yield (
            f"its card {mac} (tap {card['tap']}, bridge {card['bridge']}) has no address reserved "
            "in a network of ours on this host. Plug it into one: server_attach_interface.yml"
        )
    elif card["bridge"] != f"nvb{port['network_id'].replace('-', '')[:11]}":
        yield (
            f"its card {mac} is in bridge {card['bridge']}, and its port in network "
            f"{port['network_id']}. Put that right: server_hard_reboot.yml"
        )
    elif not all(line.split(",")[0] == mac and "," in line for line in port["lines"]):
        yield f"the addresses reserved for its card {mac} are another's. Put that right by hand"
    elif not (_MAC.fullmatch(mac) and _UUID.fullmatch(port["port_id"])):
        yield f"its card {mac} has no address that a port can have. Give it another"


def _card(card: Mapping[str, Any]) -> dict[str, Any]:
    port = card["port"]
    return {
        "port_id": str(port["port_id"]),
        "network_id": str(port["network_id"]),
        "mac_address": str(card["mac_address"]),
        "addresses": [str(line.split(",")[1]) for line in port["lines"]],
    }
