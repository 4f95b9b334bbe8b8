"""Runs: tickets for one host and playbook as one run, and its results as outcomes of each."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from controller.conductor import claims, server_interfaces
from controller.conductor.arguments import (
    cloud_id,
    image_entry,
    server_arguments,
    server_secrets,
)
from controller.conductor.claims import Held
from controller.conductor.server_cleanup import KIND as CLEANUP
from controller.conductor.server_evacuate import FENCE
from controller.conductor.steps import Outcome, Play
from controller.core import (
    agent_gateways,
    boot_images,
    host_access,
    hosts,
    network_arguments,
    network_updates,
    port_departures,
    port_updates,
    router_arguments,
)
from controller.core.operations import UNFINISHED
from controller.core.sealing import unseal
from controller.db.base import new_id
from controller.db.models import Host, Image, Operation, Port, Server
from controller.runner.requests import (
    FAILED,
    ITEM_FORMAT_VERSION,
    OK,
    HostResult,
    Run,
    RunResult,
)
from controller.settings import Settings

log = logging.getLogger(__name__)

# Playbooks that set the packet filter of the servers that they are about, by these arguments.
SET_RULES = frozenset(
    {
        "server_create",
        "server_start",
        "server_hard_reboot",
        "server_rebuild",
        "server_rescue",
        "server_unrescue",
        "server_unshelve",
        "server_attach_interface",
        "server_converge",
        "port_update",
        "server_resize",
        "server_revert_resize",
        "server_evacuate",
    }
)
# Playbooks that bring an image's bytes here.
FETCHING = frozenset({"server_create_image", "server_create_backup", "server_shelve"})
# Playbooks that have hosts' certificates signed, by the authority that they are told of.
MOVES = frozenset({"server_move_out", "server_resize", "server_receive", "server_live_migrate"})
FABRIC = ("networks", "routers")
# An outcome that this release can't read. During an upgrade an old worker may start a new release's
# playbooks, which lie on disk already: a new worker does it again, and finds what is done.
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A play that an operation waits for. `undo` says which half of its step asked for it."""

    held: Held
    play: Play
    server_id: str | None
    undo: bool = False
    # Whether the operation may be given up for another one.
    cancellable: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run, the servers that it is about, and the tickets that need none any more."""

    run: Run | None
    tickets: list[Ticket]
    server_ids: frozenset[str]
    # Tickets of operations that were cancelled while they waited.
    cancelled: list[Ticket]


def prepare(
    session: Session,
    settings: Settings,
    owner: str,
    tickets: Sequence[Ticket],
    cancelled: Callable[[], bool],
    now: datetime,
) -> Prepared:
    """Return the run for `tickets`, all of one host and playbook; raises nothing for lost ones.

    The servers' generation rises with every run, not only with every claim: what an earlier run
    left behind on a host (its connection lost, its time over) must be refused there from now on.
    """
    going, given_up, operations = [], [], []
    for ticket in tickets:
        try:
            operation = claims.load(session, owner, ticket.held)
        except claims.Lost:
            continue
        if operation.cancel_requested and ticket.cancellable and not ticket.undo:
            given_up.append(ticket)
        else:
            going.append(ticket)
            operations.append(operation)
            operation.started_at = operation.started_at or now
    if not going:
        return Prepared(None, [], frozenset(), given_up)
    play = going[0].play
    secrets: dict[str, dict[str, str]] = {}
    arguments: dict[str, Any] = {"cloud_id": play.as_cloud or cloud_id(session)}
    entries: list[dict[str, Any]] = []
    if play.playbook == FENCE:
        # Somebody else's playbook, which acts on another machine: it is told of the host alone.
        host = hosts.get(session, play.host_id)
        arguments["fenced_host"] = {"name": host.name, "address": host.address}
    elif play.whole_host:
        entries, found = _whole_host(session, play)
        arguments |= found
    elif play.check or play.told:
        pairs = zip(going, operations, strict=True)
        entries = [_told(ticket.play, operation) for ticket, operation in pairs]
        secrets = _tried_out(settings, going, operations)
    elif play.image_id is not None:
        image = session.get_one(Image, play.image_id)
        arguments["images"] = [image_entry(settings, image.id, boot_images.snapshot(image))]
    else:
        told = {ticket.held.operation_id: ticket.play.entry for ticket in going}
        entries, secrets = _of_servers(session, settings, operations, play, told)
    if play.hooks:
        # Whatever a hook is for, what is secret isn't its.
        secrets = {}
        arguments["server_hooks"] = list(play.hooks)
        arguments["server_hooks_at"] = play.hooks_at
        arguments["server_operation"] = operations[0].kind
    if play.playbook in MOVES:
        arguments["server_move_authority"] = str(settings.keys_dir / "moves")
    named = [hosts.get(session, each) for each in (play.host_id, play.peer_host_id) if each]
    # Of two hosts the play is the first one's.
    arguments |= {"target": named[0].name} if len(named) > 1 else {}
    run = Run(
        id=new_id(),
        playbook=play.playbook,
        hosts=tuple(host_access.of_host(settings, host) for host in named),
        arguments={**arguments, "servers": entries},
        secrets=secrets,
        own_playbook=Path(settings.fence_playbook) if play.playbook == FENCE else None,
        check=play.check,
        timeout_s=play.timeout_s or settings.run_timeout_s,
        file_max_bytes=settings.max_image_bytes if play.playbook in FETCHING else None,
        keep_as=tuple(operation.id for operation in operations),
        about={
            operation.id: {"request_id": operation.request_id, "server_id": operation.server_id}
            for operation in operations
        },
        cancelled=cancelled,
        reports_progress=play.peer_host_id is not None and not play.check,
    )
    # Of all of a host's networks, the one result bears the host's id.
    about = {entry["id"] for entry in entries} or {play.host_id}
    return Prepared(run, going, frozenset(about), given_up)


def outcomes(prepared: Prepared, result: RunResult) -> list[tuple[Ticket, Outcome]]:
    """Return what the run means for each of its tickets.

    Results of servers that the run was not about are refused: a host speaks for its own.
    """
    play = prepared.tickets[0].play
    host = result.of(play.host_id)
    if play.playbook == FENCE and result.status != OK:
        # One good task proves nothing of a fence that broke off.
        host = HostResult(result.status, message=result.message)
    items: dict[str, dict[str, Any]] = {}
    for item in host.items:
        item_id = item.get("id")
        if isinstance(item_id, str) and item_id in prepared.server_ids:
            items[item_id] = item
        else:
            log.warning("a host returned a result for a server that was not asked about; dropped")
    return [(ticket, _outcome(ticket, host, items)) for ticket in prepared.tickets]


def early_outcome(
    prepared: Prepared, host_id: str, item: dict[str, Any]
) -> tuple[Ticket, Outcome] | None:
    """Return what an item's result means that came while the run goes on; None if it isn't of us.

    As in `outcomes`, a host speaks for its own: for servers that the run is about there.
    """
    if "progress" in item:
        return None
    for ticket in prepared.tickets:
        play = ticket.play
        mine = play.host_id == host_id and not (play.whole_host or play.hooks)
        if mine and ticket.server_id and ticket.server_id == item.get("id"):
            outcome = _of_item(item)
            return None if outcome.status == UNREADABLE else (ticket, outcome)
    return None


def _outcome(ticket: Ticket, host: HostResult, items: dict[str, dict[str, Any]]) -> Outcome:
    if ticket.play.hooks:
        return Outcome(host.status, host.message, refusal=host.refusal)
    if ticket.play.whole_host:
        if unread := [each for each in items.values() if not _is_readable(each)]:
            return _of_item(unread[0])
        return Outcome(host.status, host.message, list(items.values()))
    if ticket.play.image_id is not None:
        return Outcome(host.status, host.message)
    item = items.get(ticket.server_id or "")
    if item is None:
        status = FAILED if host.status == OK else host.status
        return Outcome(status, host.message or "the run brought no result for this server")
    return _of_item(item)


def _is_readable(item: dict[str, Any]) -> bool:
    return bool(item.get("format_version", ITEM_FORMAT_VERSION) == ITEM_FORMAT_VERSION)


def _of_item(item: dict[str, Any]) -> Outcome:
    if not _is_readable(item):
        return Outcome(
            UNREADABLE,
            f"the host's result is of format {item['format_version']!r}, and this release of the "
            f"controller reads {ITEM_FORMAT_VERSION}: have all controllers, with their playbooks "
            "and plugins, run one release (upgrade the older ones, or take back the newer), then "
            "ask for it again",
        )
    failed = bool(item.get("failed"))
    return Outcome(FAILED if failed else OK, str(item.get("msg") or ""), [item])


def rules_due_in(session: Session, prepared: Prepared, server_ids: frozenset[str]) -> float | None:
    """Return in how many seconds the host must be told of what filters these servers' ports, if
    that has changed since the run was prepared; None if it hasn't.

    Another run that was told the newer rules may have set them before this one set the older. What
    became more narrow is mended at once; new members of a group have time.
    """
    run = prepared.run
    if run is None or run.check or run.playbook not in SET_RULES:
        return None
    host_id = prepared.tickets[0].play.host_id
    still_there = select(Server.id).where(
        Server.id.in_(server_ids), Server.host_id == host_id, Server.deleted_at.is_(None)
    )
    rules = network_arguments.rules_alone(session, list(session.scalars(still_there)))
    now, told = network_arguments.told_rules(rules), network_arguments.told_rules(run.arguments)
    changed = [each for each in now if told[each] != now[each]]
    if not changed:
        return None
    grew = all(_only_gained(told[each], now[each]) for each in changed)
    return port_updates.GATHER_S if grew else 0.0


def fabric_changed(session: Session, prepared: Prepared) -> bool:
    """Whether the host was told of routers or members elsewhere that are others by now.

    As with rules: an update that was told the newer ones may have come before this run set the
    older. Asked only where there is anything of the kind.
    """
    run = prepared.run
    if run is None or run.check or run.playbook not in SET_RULES or run.playbook == "port_update":
        return False
    told = {
        entry["id"]: entry
        for entry in run.arguments["servers"]
        if entry.get("routers") or any(each.get("members") for each in entry.get("networks", ()))
    }
    if not told:
        return False
    host_id = prepared.tickets[0].play.host_id
    here = select(Server.id).where(Server.id.in_(told), Server.host_id == host_id)
    now = network_arguments.for_servers(session, list(session.scalars(here)), host_id)
    return any(told[each][name] != now[each][name] for each in now for name in FABRIC)


def _only_gained(told: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether all that differs is that groups have more members."""
    before, after = told["remote_group_members"], now["remote_group_members"]
    return (
        all(told[name] == now[name] for name in ("ports", "security_groups"))
        and before.keys() == after.keys()
        and all(set(before[each]) <= set(after[each]) for each in before)
    )


def _of_servers(
    session: Session,
    settings: Settings,
    operations: Sequence[Operation],
    play: Play,
    told: Mapping[str, Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], dict[str, dict[str, str]]]:
    ids = [operation.server_id for operation in operations if operation.server_id]
    session.execute(
        update(Server)
        .where(Server.id.in_(ids))
        .values(generation=Server.generation + 1)
        .execution_options(synchronize_session=False)
    )
    query = select(Server).where(Server.id.in_(ids)).execution_options(populate_existing=True)
    servers = {server.id: server for server in session.scalars(query)}
    kept = {
        operation.server_id: _kept(session, operation)
        for operation in operations
        if operation.kind == CLEANUP
    }
    fresh = [server for server in servers.values() if server.id not in kept]
    # A host that a server comes to is told before the ports are bound there.
    known = server_arguments(session, settings, fresh, play.host_id) | kept
    entries: list[dict[str, Any]] = []
    secrets: dict[str, dict[str, str]] = {}
    for operation in operations:
        server = servers[operation.server_id or ""]
        entry = (
            known[server.id]
            | {"generation": server.generation, "operation_id": operation.id}
            | dict(told[operation.id])
        )
        if play.playbook == server_interfaces.DETACH:
            entry |= _detached(session, operation)
        entries.append(entry)
        if operation.kind != CLEANUP:
            own = server_secrets(settings, server, operation.sealed)
            secrets |= {server.id: own} if own else {}
    return entries, secrets


def _told(play: Play, operation: Operation) -> dict[str, Any]:
    """Return what a play is told of a server that may have no row.

    One that changes something has a generation, which rises in the operation's row.
    """
    if play.check:
        return dict(play.entry)
    generation = int(operation.data.get("generation", 0)) + 1
    operation.data = {**operation.data, "generation": generation}
    return {**play.entry, "generation": generation}


def _tried_out(
    settings: Settings, tickets: Sequence[Ticket], operations: Sequence[Operation]
) -> dict[str, dict[str, str]]:
    """Return the secrets of servers that need not be there, as for a real run."""
    return {
        str(ticket.server_id): own
        for ticket, operation in zip(tickets, operations, strict=True)
        if (own := unseal(settings, operation.sealed) | dict(ticket.play.secrets))
    }


def _detached(session: Session, operation: Operation) -> dict[str, Any]:
    port = session.get(Port, operation.arguments["port_id"])
    host_id = operation.host_id
    if port is None or host_id is None:
        return {}
    return network_arguments.detached(session, port, host_id)


def _kept(session: Session, operation: Operation) -> dict[str, Any]:
    """Return what a clean-up was given; of leftovers, found long after, only what is nobody's."""
    entry: dict[str, Any] = operation.arguments["server"]
    if not entry.get("quarantine") or operation.host_id is None:
        return entry
    return port_departures.without_living(session, operation.host_id, entry)


def next_host_fence(session: Session, host_id: str) -> dict[str, Any]:
    """Return what shuts out older runs about all of the host, which may wake late."""
    session.execute(
        update(Host)
        .where(Host.id == host_id)
        .values(generation=Host.generation + 1)
        .execution_options(synchronize_session=False)
    )
    query = select(Host.generation).where(Host.id == host_id)
    return {"id": host_id, "generation": session.scalar(query)}


def _whole_host(session: Session, play: Play) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the servers of a run about all of a host, and its arguments besides."""
    fence = {"host_fence": next_host_fence(session, play.host_id)}
    if play.playbook != network_updates.KIND:
        rules = rules_of_host(session, play.host_id)
        return rules.pop("servers"), fence | rules
    # Where no address was left when the host came to need one, there may be by now.
    agent_gateways.ensure(session, {play.host_id})
    return [], fence | router_arguments.of_host(session, play.host_id)


def rules_of_host(session: Session, host_id: str) -> dict[str, Any]:
    """Return what port_update is told: all that filters ports on the host, but for its fence.

    Servers have the generation that they have by now: a newer run goes before. Without those that
    are being removed. They have the generation of the run that removes them, which would let this
    one in behind it, to set rules for ports that are gone.
    """
    removes = or_(
        Operation.kind.in_(("server_delete", "server_shelve_offload")),
        and_(
            Operation.kind.in_(("server_create", "server_unshelve")), Operation.undoing.is_not(None)
        ),
    )
    removed = select(Operation.id).where(
        Operation.server_id == Server.id, Operation.state.in_(UNFINISHED), removes
    )
    query = select(Server.id, Server.generation).where(
        Server.host_id == host_id, Server.deleted_at.is_(None), ~removed.exists()
    )
    generations = {row.id: row.generation for row in session.execute(query.order_by(Server.id))}
    rules = network_arguments.rules_alone(session, list(generations))
    for entry in rules["servers"]:
        entry["generation"] = generations[entry["id"]]
    return rules
