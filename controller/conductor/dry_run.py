"""dry_run: what a request would do, from the flows and plays that would do it.

Each time, the operations' own flows are gone through from their beginning, in a savepoint that is
rolled back: hosts are chosen and claimed, ports bound, and nothing of it stays. At a play that was
not tried yet they stop; it runs in check mode, and what it says is kept in this operation's row,
where the next time through finds it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import IntegrityError

from controller.conductor.arguments import server_arguments, server_secrets
from controller.conductor.server_resize import migration_of
from controller.conductor.steps import (
    Again,
    Failure,
    Flow,
    Outcome,
    Play,
    Step,
    Work,
)
from controller.core import dry_runs, hosts
from controller.core.operations import DRY_RUN
from controller.db.models import Operation, Server
from controller.errors import Conflict, InvalidState, NovellaError
from controller.runner.artifacts import diff_text
from controller.runner.requests import OK, HostResult

# Of a play's diff, in characters: all of it is in the operation's artifacts.
DIFF_MAX = 1 << 16


class Rehearse(Step):
    name = "rehearse"
    no_undo = "what was written was rolled back, and plays in check mode change nothing"
    # A play after another, until none is left.
    repeats = True

    def do(self, work: Work) -> Play | None:
        found: list[dict[str, Any]] = []
        with _rolled_back(work):
            dry_runs.replay(work.session, work.operation.arguments["rows"])
            try:
                play = _first_new_play(work, found)
            except NovellaError as error:
                # What is noted goes with the transaction; this comes back with the failure.
                error.details["found"] = {"found": found, "said": work.noted("said", [])}
                raise
        work.note(found=found)
        return play

    def finished(self, work: Work, outcome: Outcome) -> None:
        said = {
            "status": outcome.status,
            "message": outcome.message,
            "diff": diff_text(HostResult(outcome.status, outcome.items))[:DIFF_MAX],
            "items": [_without_diffs(item) for item in outcome.items],
        }
        work.note(said=[*work.noted("said", []), said])


class DryRun(Flow):
    kind = DRY_RUN
    steps = (Rehearse(),)
    ordered = False

    def succeeded(self, work: Work) -> None:
        _forget(work)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        work.note(**failure.found)
        work.operation.error = replace(failure, found={}).as_json()
        _forget(work)
        return None


@contextmanager
def _rolled_back(work: Work) -> Iterator[None]:
    savepoint = work.session.begin_nested()
    try:
        yield
    except IntegrityError as error:
        raise Conflict(
            "Something that this asks for was taken since it was asked for. Ask again."
        ) from error
    finally:
        # What the database refused is rolled back by then.
        if savepoint.is_active:
            savepoint.rollback()


def _first_new_play(work: Work, found: list[dict[str, Any]]) -> Play | None:
    """Go through the flows; return the first play that nothing is known of, None at their end.

    `found` gets what each operation would do. Raises what would make one of them fail.
    """
    said = iter(work.noted("said", []))
    before = {each["server_id"]: each for each in work.noted("found", [])}
    for planned in work.operation.arguments["operations"]:
        known = before.get(planned["server_id"], {})
        inner = _inner(work, planned, known.get("host"))
        entry: dict[str, Any] = {"kind": planned["kind"], "server_id": planned["server_id"]}
        found.append(entry | {"plays": [], "left_out": []})
        play = _through(inner, found[-1], said)
        found[-1]["host"] = _host_name(inner)
        found[-1]["selection"] = known.get("selection") or inner.noted("selection")
        if play is not None:
            return play
    return None


def _through(inner: Work, entry: dict[str, Any], said: Iterator[dict[str, Any]]) -> Play | None:
    # Here, for the flows are these as well.
    from controller.conductor.flows import FLOWS

    flow = FLOWS[inner.operation.kind]
    for step in flow.steps:
        play = step.do(inner)
        inner.session.flush()
        if play is None:
            continue
        host = hosts.get(inner.session, play.host_id).name
        if step.not_tried:
            entry["left_out"].append(
                {"playbook": play.playbook, "host": host, "why": step.not_tried}
            )
            step.finished(inner, Outcome(OK))
            inner.session.flush()
            continue
        known = next(said, None)
        if known is None:
            return _in_check_mode(inner, play)
        entry["plays"].append(
            {"playbook": play.playbook, "host": host, "status": known["status"],
             "message": known["message"], "diff": known["diff"]}
        )  # fmt: skip
        step.finished(inner, Outcome(known["status"], known["message"], known["items"]))
        inner.session.flush()
    return None


def _inner(work: Work, planned: dict[str, Any], host: str | None) -> Work:
    """Return the work of an operation that is nowhere but here.

    `host` is what was chosen the first time; it stays, whatever else is made meanwhile.
    """
    server = work.session.get(Server, planned["server_id"])
    if server is None or server.deleted_at is not None or server.state != planned["state"]:
        by_now = server.state if server is not None and server.deleted_at is None else "deleted"
        raise InvalidState(
            f"Server {planned['server_id']} was {planned['state']} when this was asked for, and is "
            f"{by_now} by now. Ask again."
        )
    arguments = {**planned["arguments"], **({"forced_host": host} if host else {})}
    operation = Operation(
        id=work.operation.id, kind=planned["kind"], server_id=server.id, arguments=arguments,
        data={}, step=0, attempts=0, project_id=work.operation.project_id,
        user_id=work.operation.user_id, request_id=work.operation.request_id,
    )  # fmt: skip
    return Work(work.session, work.settings, operation, server, work.now)


def _in_check_mode(inner: Work, play: Play) -> Play:
    """Return the play with all that it is told: what it is about will be gone then."""
    inner.session.refresh(inner.server)
    known = server_arguments(inner.session, inner.settings, [inner.server])[inner.server.id]
    own = {"generation": inner.server.generation, "operation_id": inner.operation.id}
    return Play(
        play.playbook,
        play.host_id,
        entry=known | own | dict(play.entry),
        timeout_s=play.timeout_s,
        check=True,
        secrets=server_secrets(inner.settings, inner.server, None),
        peer_host_id=play.peer_host_id,
        alone_for=play.alone_for,
    )


def _host_name(inner: Work) -> str | None:
    """Return the host that was chosen: of a move the new one, where the server may not be yet."""
    if "migration_id" in inner.operation.arguments:
        return migration_of(inner).dest_host
    host_id = inner.server.host_id
    return hosts.get(inner.session, host_id).name if host_id else None


def _without_diffs(item: dict[str, Any]) -> dict[str, Any]:
    """Return what flows read of an item: its steps' results."""
    steps = item.get("steps")
    kept = [
        {name: value for name, value in step.items() if name != "diff"}
        for step in (steps if isinstance(steps, list) else [])
        if isinstance(step, dict)
    ]
    return {**item, "steps": kept}


def _forget(work: Work) -> None:
    """Keep what was found, not what it was found by."""
    work.operation.arguments = {"operations": work.operation.arguments["operations"]}
    work.operation.data = {"found": work.noted("found", [])}
