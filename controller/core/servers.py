"""Servers: made, looked up, changed, deleted. Nobody here talks to a host.

Whatever a host must do becomes an operation, in the same transaction as the rows it is about.
"""

import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.core import (
    availability_zones,
    boot_images,
    flavors,
    keypairs,
    ports,
    quotas,
    sealing,
    server_actions,
    server_locks,
    server_metadata,
    server_names,
    transitions,
)
from controller.core.context import Context
from controller.core.operations import begin_action, begin_actions, check_allowed
from controller.db.base import new_id
from controller.db.models import Flavor, Host, Server, ServerTag
from controller.errors import BadRequest, InvalidState, NotFound
from controller.settings import Settings
from controller.states import SOFT_DELETED, refusal

_PASSWORD_LETTERS = string.ascii_letters + string.digits
_RESERVATION_LETTERS = string.ascii_lowercase + string.digits
PASSWORD_LENGTH = 12

Networks = list[dict[str, Any]] | Literal["auto", "none"] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a create asks for, as checked by the dialect.

    `networks`: items {"uuid"}, {"uuid", "fixed_ip"} or {"port"}, each perhaps with a device's tag;
    None when left out.
    `user_data` is base64. `forced_host` is a host's name that an admin chose.
    """

    name: str
    flavor_id: str
    image_id: str
    networks: Networks = None
    security_groups: list[str] = field(default_factory=list)
    key_name: str | None = None
    user_data: str | None = None
    config_drive: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    availability_zone: str | None = None
    forced_host: str | None = None
    scheduler_hints: Mapping[str, Any] = field(default_factory=dict)
    min_count: int = 1
    max_count: int = 1
    description: str | None = None
    hostname: str | None = None
    access_ip_v4: str | None = None
    access_ip_v6: str | None = None
    disk_config: str = "MANUAL"
    admin_pass: str | None = None
    tags: Sequence[str] = ()
    # A flavor without a disk of its own takes whatever the image needs: for those it is allowed to.
    zero_disk_allowed: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """The servers of one create, first one first, and the password of all."""

    servers: list[Server]
    admin_pass: str


def get(session: Session, context: Context, server_id: str, *, lock: bool = False) -> Server:
    """Return the server; `lock` keeps others from changing it until the transaction ends.

    Raises NotFound for one that is deleted, or that is another project's.
    """
    query = select(Server).where(Server.id == server_id, Server.deleted_at.is_(None))
    server = session.scalar(query.with_for_update() if lock else query)
    if server is None or not context.may_see(server.project_id):
        raise NotFound(
            f"Instance {server_id} could not be found. Check the id and the project in use."
        )
    return server


def get_to_act_on(session: Session, context: Context, server_id: str) -> Server:
    """Return the server, locked in the database; Conflict when somebody has locked it."""
    server = get(session, context, server_id, lock=True)
    server_locks.check(context, server)
    return server


def create(session: Session, settings: Settings, context: Context, wanted: Wanted) -> Made:
    """Make `wanted.min_count` to `wanted.max_count` servers, as many as the quota leaves.

    Servers, ports, actions and operations go into the caller's transaction: all or nothing. Raises
    BadRequest for what isn't there or doesn't fit, QuotaExceeded, NameTaken, and what ports raise.
    """
    if wanted.min_count > wanted.max_count:
        raise BadRequest("min_count must be <= max_count. Lower the one or raise the other.")
    if wanted.max_count > settings.max_servers_per_request:
        raise BadRequest(
            f"Cannot make {wanted.max_count} servers in one request: at most "
            f"{settings.max_servers_per_request} are. Send several requests."
        )
    _check_count_and_addresses(wanted)
    image = boot_images.bootable(session, context, wanted.image_id)
    size = flavors.snapshot(_flavor(session, context, wanted))
    boot_images.check_fit(image, size, zero_disk_allowed=wanted.zero_disk_allowed)
    public_key = public_key_of(session, context, wanted.key_name)
    availability_zones.check(session, settings, wanted.availability_zone)
    _check_host(session, wanted)
    count = quotas.admit_servers(
        session,
        settings,
        context.project,
        size,
        wanted.min_count,
        wanted.max_count,
        wanted.metadata,
    )
    common = {
        "sealed_user_data": sealing.seal_user_data(settings, wanted.user_data),
        "project_id": context.project,
        "user_id": context.user_id,
        "flavor": size,
        "image_id": image.id,
        "image": boot_images.snapshot(image),
        "public_key": public_key,
        "reservation_id": _reservation_id(),
    }
    admin_pass = wanted.admin_pass or new_password()
    servers = _insert(session, settings, context, wanted, count, common)
    _connect(session, settings, context, wanted, servers)
    session.add_all(
        ServerTag(server_id=server.id, tag=tag) for server in servers for tag in set(wanted.tags)
    )
    begin_actions(
        session,
        settings,
        context,
        servers,
        "create",
        arguments={"forced_host": wanted.forced_host} if wanted.forced_host else None,
        secrets={"admin_pass": admin_pass},
    )
    return Made(servers, admin_pass)


def new_password() -> str:
    return "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(PASSWORD_LENGTH))


def delete(session: Session, settings: Settings, context: Context, server: Server) -> None:
    """Have the server deleted, for good or to be restored as settings say.

    Asking again changes nothing. What is being done to it gives way: the conductor cancels it.
    """
    if server.task_state in ("deleting", "soft-deleting") or server.state == SOFT_DELETED:
        return
    restorable = settings.reclaim_instance_interval_s > 0 and _is_restorable(server)
    action = "soft_delete" if restorable else "delete"
    begin_action(session, settings, context, server, action, record_as="delete")


def force_delete(session: Session, settings: Settings, context: Context, server: Server) -> None:
    """Have the server deleted for good, at once."""
    if server.task_state != "deleting":
        begin_action(session, settings, context, server, "delete")


def restore(session: Session, settings: Settings, context: Context, server: Server) -> None:
    """Bring back a deleted server. Raises InvalidState, QuotaExceeded: it was not counted."""
    check_allowed(server, "restore")
    server_locks.check(context, server)
    quotas.admit_servers(session, settings, server.project_id, server.flavor, 1, 1, server.meta)
    begin_action(session, settings, context, server, "restore")


def _is_restorable(server: Server) -> bool:
    """Whether a start brings it back as it was: not one that never ran, or is on its way."""
    moving = ("resize", "migrating", "shelving", "unshelving", "rescuing", "unrescuing", "rebuild")
    return (
        refusal("soft_delete", server.state, server.task_state) is None
        and server.launched_at is not None
        and server.host_id is not None
        and not (server.task_state or "").startswith(moving)
    )


def update(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    changes: Mapping[str, str | None],
) -> None:
    """Change the server, and have its guest served at once what it is told of that."""
    served = server.name, server.hostname
    change(session, settings, server, changes)
    if (server.name, server.hostname) != served:
        ports.rename(session, server.id, server.hostname)
        server_metadata.push_names(session, context, server)


def change(
    session: Session, settings: Settings, server: Server, changes: Mapping[str, str | None]
) -> None:
    """Set any of name, description, hostname, access_ip_v4, access_ip_v6 and disk_config.

    The guest's host name doesn't follow the server's name, as upstream. Raises NameTaken.
    """
    reason = refusal("rename", server.state, server.task_state)
    if reason:
        raise InvalidState(f"Cannot update server {server.id}: {reason}.")
    name = changes.get("name")
    if name is not None and name != server.name:
        server.unique_name = server_names.claim(
            session, settings, server.project_id, name, server.id
        )
    for field_name, value in changes.items():
        setattr(server, field_name, value)
    # Read here: after a refusal the session has nothing more to say.
    wanted = server.name
    try:
        session.flush()
    except IntegrityError as error:
        raise server_names.taken(settings, wanted) from error


def reset_state(session: Session, context: Context, server: Server, state: str) -> None:
    """Give the server the `state` active or error, as an administrator knows better.

    An operation under way goes on; the state is what its end makes it then.
    """
    reason = refusal("reset_state", server.state, server.task_state)
    if reason:
        raise InvalidState(f"Cannot reset the state of server {server.id}: {reason}.")
    server_actions.record(session, context, server, "reset_state")
    transitions.reset(server, state)


def _check_count_and_addresses(wanted: Wanted) -> None:
    """One address, port or host name can't be given to several servers."""
    if wanted.max_count == 1:
        return
    if wanted.hostname is not None:
        raise BadRequest(
            "Unable to allocate a single hostname to multiple instances. Leave hostname out, or "
            "make one server."
        )
    for item in wanted.networks if isinstance(wanted.networks, list) else []:
        if item.get("port") or item.get("fixed_ip"):
            raise BadRequest(
                "Unable to launch multiple instances with a single configured port ID or fixed "
                "IP. Launch them one by one, or name networks only."
            )


def _flavor(session: Session, context: Context, wanted: Wanted) -> Flavor:
    try:
        flavor = flavors.get(session, context, wanted.flavor_id)
    except NotFound as error:
        raise BadRequest(error.message) from error
    if flavor.disabled and not context.is_admin:
        raise BadRequest(f"Flavor {wanted.flavor_id} could not be found: it is disabled.")
    return flavor


def public_key_of(session: Session, context: Context, key_name: str | None) -> str | None:
    """Return the public key of the caller's key pair; None for none. Raises BadRequest."""
    if not key_name:
        return None
    try:
        return keypairs.get(session, context.user_id, key_name).public_key
    except NotFound as error:
        raise BadRequest(f"Invalid key_name provided: you have no key pair {key_name}.") from error


def _check_host(session: Session, wanted: Wanted) -> None:
    if wanted.forced_host and not session.scalar(
        select(Host.id).where(Host.name == wanted.forced_host)
    ):
        raise BadRequest(
            f"Compute host {wanted.forced_host} could not be found. List hypervisors for those "
            "there are."
        )


def _insert(
    session: Session,
    settings: Settings,
    context: Context,
    wanted: Wanted,
    count: int,
    common: Mapping[str, Any],
) -> list[Server]:
    """Write the servers' rows; their names have a number when several were asked for."""
    several = wanted.max_count > 1
    names = [f"{wanted.name}-{number + 1}" if several else wanted.name for number in range(count)]
    unique_names = server_names.claim_each(session, settings, context.project, names)
    servers = [
        _row(wanted, index, name, unique_names[name], common) for index, name in enumerate(names)
    ]
    session.add_all(servers)
    try:
        session.flush()
    except IntegrityError as error:
        raise server_names.taken(settings, wanted.name) from error
    return servers


def _row(
    wanted: Wanted, index: int, name: str, unique_name: str | None, common: Mapping[str, Any]
) -> Server:
    server_id = new_id()
    return Server(
        id=server_id,
        name=name,
        unique_name=unique_name,
        hostname=wanted.hostname or server_names.hostname(name, server_id),
        description=wanted.description,
        availability_zone=wanted.availability_zone,
        key_name=wanted.key_name,
        config_drive=wanted.config_drive,
        meta=dict(wanted.metadata),
        scheduler_hints=dict(wanted.scheduler_hints),
        disk_config=wanted.disk_config,
        access_ip_v4=wanted.access_ip_v4,
        access_ip_v6=wanted.access_ip_v6,
        launch_index=index,
        state="building",
        **common,
    )


def _connect(
    session: Session,
    settings: Settings,
    context: Context,
    wanted: Wanted,
    servers: Sequence[Server],
) -> None:
    """Give the servers their ports. What isn't there is a bad request here, not a missing page."""
    try:
        ports.prepare_for_servers(
            session, settings, context, servers, wanted.networks, wanted.security_groups
        )
    except NotFound as error:
        raise BadRequest(error.message) from error


def _reservation_id() -> str:
    return "r-" + "".join(secrets.choice(_RESERVATION_LETTERS) for _ in range(8))
