"""host_adopt: a domain that was made by hand becomes a server of this cloud; its guest runs on.

First the play that brings a host to what the database says is tried out (check mode) as for no
cloud, with what the rows would be: unless it finds nothing to change, nothing is written at all.
Then the domain is given this cloud's mark, and the same is tried as for this cloud. The rows come
last, in one transaction: until it is proved, nobody sees a server. What fails before takes the mark
back.
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.conductor import backoff
from controller.conductor.arguments import server_arguments
from controller.conductor.host_domains import NO_CLOUD
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import adopted_servers, hosts, operations, port_updates, server_actions
from controller.core.adopted_servers import Wish
from controller.core.context import Context
from controller.core.operations import UNFINISHED
from controller.core.sealing import seal, unseal
from controller.core.security_groups import ensure_default, of_ports
from controller.db.base import new_id
from controller.db.models import Host, Operation, Port, Server
from controller.errors import Conflict, HostFailed
from controller.settings import Settings
from controller.states import BUILDING

KIND = "host_adopt"
CONVERGE = "server_converge"
# Of a diff, in characters: all of it is in the operation's artifacts.
DIFF_MAX = 1 << 16
TRIES = 3


def submit(
    session: Session,
    settings: Settings,
    host: Host,
    plan: Mapping[str, Any],
    wish: Wish,
    user_data: str | None,
) -> Operation:
    """Have the domain of `plan` taken over. Raises Conflict while that is under way already."""
    query = select(Operation).where(Operation.kind == KIND, Operation.state.in_(UNFINISHED))
    for other in session.scalars(query):
        if other.arguments["plan"]["id"] == plan["id"]:
            raise Conflict(
                f"Domain {plan['id']} is being adopted (operation {other.id}). Wait for its end."
            )
    # What is tried and what is written are about the same group, which stays with the project.
    ensure_default(session, wish.project_id)
    context = Context(f"req-{new_id()}", user_id=wish.user_id, project_id=wish.project_id)
    return operations.submit(
        session,
        KIND,
        context=context,
        host_id=host.id,
        arguments={"plan": dict(plan), "wish": wish.as_json()},
        sealed=seal(settings, {"user_data": user_data}) if user_data else None,
    )


class Look(Step):
    name = "look"
    no_undo = "nothing is written"

    def do(self, work: Work) -> Play | None:
        play = _check(work, _as_it_was(work, _entry(work)), as_cloud=NO_CLOUD)
        # What the fence has seen; another try goes on from where the one before came to.
        seen = work.operation.arguments["plan"]["generation"]
        work.note(generation=max(work.noted("generation", 0), seen))
        return play

    def finished(self, work: Work, outcome: Outcome) -> None:
        _must_be_clean(work, outcome, "as it was made by hand")


class Mark(Step):
    name = "mark"

    def do(self, work: Work) -> Play | None:
        work.note(marked=True)
        return self._play(work, _entry(work))

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The domain could not be given this cloud's mark.")

    def undo(self, work: Work) -> Play | None:
        if not work.noted("marked"):
            return None
        return self._play(work, work.noted("as_it_was") | {"mark_cloud_id": NO_CLOUD})

    def undone(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The domain could not be given back the mark that it had.")
        work.note(marked=False)

    def _play(self, work: Work, entry: dict[str, Any]) -> Play:
        secrets = unseal(work.settings, work.operation.sealed)
        alone = work.operation.id
        return Play(KIND, work.host_id, entry=entry, secrets=secrets, told=True, alone_for=alone)


class Prove(Step):
    name = "prove"
    no_undo = "nothing is written"

    def do(self, work: Work) -> Play | None:
        return _check(work, _entry(work))

    def finished(self, work: Work, outcome: Outcome) -> None:
        _must_be_clean(work, outcome, "as a server of this cloud")


class Record(Step):
    name = "record"
    no_undo = "the operation ends in the same transaction"

    def do(self, work: Work) -> Play | None:
        try:
            server = _write(work)
        except IntegrityError as error:
            raise _taken() from error
        host = hosts.get(work.session, work.host_id)
        server.generation = int(work.noted("generation", 0))
        work.note(had_room=adopted_servers.take_room(work.session, server, host))
        work.operation.server_id = server.id
        context = Context(
            str(work.operation.request_id), user_id=server.user_id, project_id=server.project_id
        )
        server_actions.record(work.session, context, server, "adopt")
        query = select(Port.id).where(Port.device_id == server.id)
        groups = of_ports(work.session, list(work.session.scalars(query)))
        port_updates.members_changed(
            work.session, {group for each in groups.values() for group in each}
        )
        return None


class HostAdopt(Flow):
    kind = KIND
    steps = (Look(), Mark(), Prove(), Record())
    ordered = False
    one_per_host = True

    def failed(self, work: Work, failure: Failure) -> Again | None:
        work.note(**{name: failure.found[name] for name in ("differs",) if name in failure.found})
        if failure.unreachable and work.operation.attempts + 1 < TRIES:
            return Again(backoff.delay_s(1.0, work.operation.attempts + 1))
        return None


def _write(work: Work) -> Server:
    arguments = work.operation.arguments
    return adopted_servers.write(
        work.session,
        work.settings,
        arguments["plan"],
        Wish.of_json(arguments["wish"]),
        hosts.get(work.session, work.host_id),
        work.now,
        unseal(work.settings, work.operation.sealed).get("user_data"),
    )


def _entry(work: Work) -> dict[str, Any]:
    """Return what plays would be told of the server if it had its rows, which don't stay."""
    with _rolled_back(work.session):
        server = _write(work)
        return server_arguments(work.session, work.settings, [server])[server.id]


@contextmanager
def _rolled_back(session: Session) -> Iterator[None]:
    savepoint = session.begin_nested()
    try:
        yield
    except IntegrityError as error:
        raise _taken() from error
    finally:
        # What the database refused is rolled back by then.
        if savepoint.is_active:
            savepoint.rollback()


def _taken() -> Conflict:
    return Conflict("Something that the server has was taken meanwhile. Ask again to see what.")


def _as_it_was(work: Work, entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry as whoever made the server by hand had it; it is kept for the undoing."""
    plan = work.operation.arguments["plan"]
    names = plan["security_groups"].split("\n")
    groups = entry["security_groups"]
    # Guests are told of the groups' names, by hand; all that is left goes to the last one.
    told = [*names[: len(groups) - 1], "\n".join(names[len(groups) - 1 :])] if groups else []
    before = entry | {
        "project_id": plan["project"],
        "flavor": entry["flavor"] | {"name": plan["flavor"]["name"]},
        "security_groups": [
            group | {"name": name} for group, name in zip(groups, told, strict=False)
        ],
    }
    work.note(as_it_was=before)
    return before


def _check(work: Work, entry: dict[str, Any], as_cloud: str | None = None) -> Play:
    return Play(
        CONVERGE,
        work.host_id,
        entry=entry,
        check=True,
        secrets=unseal(work.settings, work.operation.sealed),
        alone_for=work.operation.id,
        as_cloud=as_cloud,
    )


def _must_be_clean(work: Work, outcome: Outcome, how: str) -> None:
    """Raise Conflict with what differs, unless the play found nothing to change."""
    # Here, for it asks which flows there are.
    from controller.conductor import drift

    plan = work.operation.arguments["plan"]
    if not outcome.items:
        outcome.check("The host could not be compared with what the server would be.")
        raise HostFailed("The host said nothing of the domain.")
    found = drift.compared(
        Server(id=plan["id"], name=plan["name"], state=plan["state"] or BUILDING), outcome.items[0]
    )
    if not found.differs:
        return
    shown = "\n".join(
        [*found.diff.splitlines(), *found.restart, *filter(None, (found.power, found.failed))]
    )
    raise Conflict(
        f"Cannot adopt domain {plan['id']} without touching it: {how}, it is not what the plays "
        "would make. Change what differs by hand, or what the cloud has (security groups, subnets, "
        "the image's properties).",
        reason=f"it differs {how}: {shown[:2000]}",
        found={"differs": shown[:DIFF_MAX]},
    )
