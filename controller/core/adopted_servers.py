"""Servers that ran before the cloud knew of them: the rows of one that is taken over.

A plan is what its host says of the domain (conductor.host_domains); what operators add is a Wish.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import (
    boot_images,
    flavors,
    networks,
    port_records,
    ports,
    sealing,
    server_names,
    transitions,
)
from controller.core.context import Context
from controller.core.server_needs import resources
from controller.db.models import Flavor, Host, Image, Network, Port, Server
from controller.errors import BadRequest, ConcurrentUpdate, Conflict, NotFound
from controller.placement import allocations
from controller.settings import Settings
from controller.states import TABLE

SIZES = ("vcpus", "memory_mb", "disk_gb", "ephemeral_gb", "swap_mb")


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator says of a server: whose it is, and what can't be read off its host.

    `flavor_id` None takes one that fits, or makes one. `security_groups` are names or ids of the
    project's; empty means its default one.
    """

    project_id: str
    user_id: str
    flavor_id: str | None = None
    security_groups: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "project_id": self.project_id,
            "user_id": self.user_id,
            "flavor_id": self.flavor_id,
            "security_groups": list(self.security_groups),
        }

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> "Wish":
        groups = tuple(kept["security_groups"])
        return cls(kept["project_id"], kept["user_id"], kept["flavor_id"], groups)


def write(
    session: Session,
    settings: Settings,
    plan: Mapping[str, Any],
    wish: Wish,
    host: Host,
    now: datetime,
    user_data: str | None,
) -> Server:
    """Write the rows of the server: itself, flavor if none fits, ports and addresses.

    Raises Conflict for what is taken, NotFound and BadRequest for what isn't there or does not fit.
    """
    check_user_data(plan, user_data)
    if session.get(Server, plan["id"]) is not None:
        raise Conflict(
            f"Cannot adopt domain {plan['id']}: the cloud has, or had, a server of this id. Make "
            "a server from a copy of its disk."
        )
    size = _flavor(session, plan, wish)
    image = _image(session, plan)
    key_name, public_key = next(iter(plan["public_keys"].items()), (None, None))
    zone = plan["availability_zone"]
    server = Server(
        id=plan["id"],
        project_id=wish.project_id,
        user_id=wish.user_id,
        name=plan["name"],
        unique_name=server_names.claim(session, settings, wish.project_id, plan["name"]),
        hostname=plan["hostname"] or server_names.hostname(plan["name"], plan["id"]),
        state="building",
        host_id=host.id,
        availability_zone=None if zone == settings.availability_zone else zone,
        flavor=size,
        image_id=image.id,
        image=boot_images.snapshot(image),
        key_name=key_name,
        public_key=public_key,
        sealed_user_data=sealing.seal_user_data(settings, user_data),
        password_serial=plan["password_serial"],
        config_drive=plan["config_drive"],
        meta=dict(plan["meta"]),
        scheduler_hints={},
        reservation_id=f"r-{secrets.token_hex(4)}",
        launch_index=plan["launch_index"],
        created_at=now,
        launched_at=now,
    )
    session.add(server)
    session.flush()
    for position, card in enumerate(plan["cards"]):
        _port(session, settings, server, wish, host, card, position)
    transitions.succeed(server, TABLE["create"], now, plan["state"])
    session.flush()
    return server


def take_room(session: Session, server: Server, host: Host) -> bool:
    """Note what the server takes of the host; return whether there was room for it.

    It runs there already: to refuse it would not give the room back.
    """
    taken = resources(server.flavor)
    try:
        allocations.claim(session, server.id, host.id, taken)
    except ConcurrentUpdate:
        allocations.set_held(session, server.id, host.id, taken)
        return False
    return True


def check_user_data(plan: Mapping[str, Any], user_data: str | None) -> None:
    """Refuse user data (base64) that is not what the guest was given. Raises BadRequest."""
    digest = None if user_data is None else hashlib.sha256(base64.b64decode(user_data)).hexdigest()
    if digest == plan["user_data_sha256"]:
        return
    why = "was given none" if plan["user_data_sha256"] is None else "was given other user data"
    raise BadRequest(
        f"Cannot adopt domain {plan['id']} with this user data: its guest {why}. Name the file "
        "that it was made with by --user-data, or leave that out if there was none."
    )


def _flavor(session: Session, plan: Mapping[str, Any], wish: Wish) -> dict[str, Any]:
    """Return the flavor as the server keeps it: the one named, one that fits, or a new one."""
    sizes = {name: plan["flavor"][name] for name in SIZES}
    if wish.flavor_id is not None:
        query = select(Flavor).where(
            (Flavor.flavor_id == wish.flavor_id) | (Flavor.name == wish.flavor_id)
        )
        named = session.scalar(query)
        if named is None:
            raise NotFound(f"Flavor {wish.flavor_id} could not be found. List those there are.")
        own = {name: getattr(named, name) for name in SIZES}
        if own != sizes:
            raise BadRequest(
                f"Cannot adopt domain {plan['id']} with flavor {named.name}: the flavor has {own}, "
                f"the domain {sizes}. Leave the flavor out to have one that fits."
            )
        return flavors.snapshot(named)
    fitting = session.scalars(select(Flavor).filter_by(**sizes).order_by(Flavor.flavor_id)).all()
    wanted = plan["flavor"]["name"]
    best = sorted(fitting, key=lambda each: (each.name != wanted, not each.is_public))
    if best:
        return flavors.snapshot(best[0])
    words = "-".join(str(sizes[name]) for name in SIZES)
    is_free = wanted and not session.scalar(select(Flavor.id).where(Flavor.name == wanted))
    name = wanted if is_free else f"adopted-{words}"
    # Not offered to anybody: it is there because a server has this size.
    return flavors.snapshot(
        flavors.create(session, name=name, flavor_id=None, is_public=False, **sizes)
    )


def _image(session: Session, plan: Mapping[str, Any]) -> Image:
    """Return the image whose base the root disk stands on; hosts name it by its id's digest."""
    query = select(Image.id).where(Image.deleted_at.is_(None), Image.status == "active")
    for image_id in session.scalars(query):
        if hashlib.sha1(image_id.encode(), usedforsecurity=False).hexdigest() == plan["base"]:
            return session.get_one(Image, image_id)
    raise Conflict(
        f"Cannot adopt domain {plan['id']}: its root disk stands on the base {plan['base']}, which "
        "is of no image of this cloud. Upload the image that it was made from, with the id that it "
        "had there: openstack image create --id ID --file FILE ..."
    )


def _port(
    session: Session,
    settings: Settings,
    server: Server,
    wish: Wish,
    host: Host,
    card: Mapping[str, Any],
    position: int,
) -> None:
    """Write a port with addresses and MAC of the card. Raises Conflict for what is taken."""
    network = session.get(Network, card["network_id"])
    # As its project: what an administrator may do is not what its owner could have had.
    owner = Context("", project_id=wish.project_id)
    if network is None or not networks.usable(session, owner, network):
        raise Conflict(
            f"Cannot adopt domain {server.id}: its card {card['mac_address']} is in network "
            f"{card['network_id']}, which this cloud has not got for project {wish.project_id}. "
            "Share that network with it, or name another project; one that was made by hand can't "
            "be taken over without touching the guest."
        )
    if session.get(Port, card["port_id"]) is not None:
        raise Conflict(
            f"Cannot adopt domain {server.id}: the port {card['port_id']} of its card "
            f"{card['mac_address']} is there already. Delete the port."
        )
    values: dict[str, Any] = {
        "id": card["port_id"],
        "mac_address": card["mac_address"],
        "device_owner": f"{port_records.SERVER_OWNER}"
        f"{server.availability_zone or settings.availability_zone}",
        "device_position": position,
        "made_by_server": True,
        "revision_number": 1,
        "host_id": host.id,
        "status": "ACTIVE",
        "fixed_ips": [{"ip_address": address} for address in card["addresses"]],
    }
    if network.port_security_enabled:
        values["security_groups"] = ports.resolve_groups(
            session, wish.project_id, wish.security_groups
        )
    admin = Context("", project_id=wish.project_id, is_admin=True)
    (port,) = port_records.create_each(
        session, settings, admin, network, wish.project_id, values, [server.id]
    )
    port.dns_name = server.hostname
