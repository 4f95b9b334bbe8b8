"""Moves: one operation, from where its row says it is to its next play or its end.

Steps that need no play run within one transaction, up to the commit before a play. What fails is
rolled back, noted in a transaction of its own, and undone from that step backwards.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from controller import logs, metrics
from controller.conductor import claims, events, hooks
from controller.conductor.claims import Held, Lost
from controller.conductor.flows import FLOWS
from controller.conductor.runs import Ticket
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Work
from controller.core import transitions
from controller.core.operations import FAILED, QUEUED, SUCCEEDED
from controller.db.models import Operation, Server
from controller.db.session import Database, wake_after
from controller.errors import HostFailed, NovellaError, OperationRefused
from controller.settings import Settings
from controller.states import BY_OPERATION

log = logging.getLogger(__name__)

# An undo that can't be done this many times is passed over, so that the rest is undone at least.
UNDO_TRIES = 5
REASON_MAX = 1000
INTERNAL = "The operation failed by an error of the cloud itself. Its operators can see which."


@dataclass(frozen=True, slots=True)
class Ended:
    """A play of the operation's present step has ended. `undo` as in its ticket."""

    outcome: Outcome
    undo: bool


class _Onward:
    """The operation goes on in another transaction."""


class Mover:
    """Moves operations of one worker."""

    def __init__(self, settings: Settings, owner: str, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._owner = owner
        self._clock = clock
        # When the step of an operation began, by the clock of this worker.
        self._began: dict[str, float] = {}

    def move(self, db: Database, held: Held, ended: Ended | None = None) -> Ticket | None:
        """Move the operation on, and return the play that it waits for; None when it has ended,
        or is queued for later.

        Raises Lost, what the database raises, and what can't be undone now.
        """
        while True:
            try:
                ticket = db.run(partial(self._move_once, held, ended))
            except (Lost, SQLAlchemyError):
                raise
            except Exception as error:
                if not isinstance(error, NovellaError):
                    log.exception("operation %s failed by a bug", held.operation_id)
                self._note_failure(db, held, ended, error)
            else:
                if not isinstance(ticket, _Onward):
                    return ticket
            ended = None

    def _move_once(
        self, held: Held, ended: Ended | None, session: Session
    ) -> "Ticket | _Onward | None":
        # Else each question of a step would first write what the one before has changed.
        with session.no_autoflush:
            work, flow = self._load(session, held)
            operation = work.operation
            with logs.about(request_id=operation.request_id, server_id=operation.server_id):
                if ended is not None:
                    self._take_in(work, flow, ended)
                return self._proceed(work, flow, held)

    def _load(self, session: Session, held: Held) -> tuple[Work, Flow]:
        operation = claims.load(session, self._owner, held)
        now = self._clock()
        operation.started_at = operation.started_at or now
        # Locked, like every server that is about to be changed: an action that is being accepted
        # meanwhile would have its task state overwritten.
        server = (
            session.get(Server, operation.server_id, with_for_update=True)
            if operation.server_id
            else None
        )
        return Work(session, self._settings, operation, server, now), FLOWS[operation.kind]

    def _take_in(self, work: Work, flow: Flow, ended: Ended) -> None:
        if not ended.undo and hooks.take_in(work, ended.outcome):
            return
        step = flow.steps[work.operation.step]
        events.record_items(work, ended.outcome.items)
        if ended.undo:
            step.undone(work, ended.outcome)
            work.operation.step -= 1
        else:
            step.finished(work, ended.outcome)
            self._end_step(work, step.name, events.SUCCESS)
            work.operation.step += not step.repeats

    def _proceed(self, work: Work, flow: Flow, held: Held) -> "Ticket | _Onward | None":
        operation = work.operation
        while True:
            if operation.undoing is None:
                if operation.cancel_requested and flow.cancellable:
                    self._begin_undoing(work, flow, Failure("Cancelled.", cancelled=True))
                    continue
                if operation.step < len(flow.steps):
                    play = self._do_step(work, flow)
                elif (play := hooks.after(work)) is None:
                    flow.succeeded(work)
                    self._end(work, None)
                    return None
            elif operation.step >= 0:
                play = self._undo_step(work, flow)
            else:
                # Committed before the next try: what fails there must not bring this one back.
                return _Onward() if self._starts_over(work, flow) else None
            if play is not None:
                undo = operation.undoing is not None
                named = play.check or play.told
                server_id = play.entry["id"] if named else operation.server_id
                return Ticket(held, play, server_id, undo, flow.cancellable)

    def _do_step(self, work: Work, flow: Flow) -> Play | None:
        step = flow.steps[work.operation.step]
        if (hook := hooks.before(work, step)) is not None:
            return hook
        events.begin(work, step.name)
        self._began[work.operation.id] = time.monotonic()
        play = step.do(work)
        if play is None:
            self._end_step(work, step.name, events.SUCCESS)
            work.operation.step += 1
        return play

    def _end_step(self, work: Work, name: str, result: str, details: str = "") -> None:
        events.end(work, name, result, details)
        began = self._began.pop(work.operation.id, None)
        # A step that another life of this worker began has no beginning here.
        if began is not None:
            steps = metrics.STEPS.labels(work.operation.kind, name, result.lower())
            steps.observe(time.monotonic() - began)

    def _begin_undoing(self, work: Work, flow: Flow, failure: Failure) -> None:
        operation = work.operation
        if operation.step < len(flow.steps):
            result = failure.details or failure.message
            self._end_step(work, flow.steps[operation.step].name, events.ERROR, result)
        operation.undoing = (failure.details or failure.message)[:REASON_MAX]
        operation.error = failure.as_json()
        if failure.refused:
            # What its step did to find the host was taken back at once.
            operation.step -= 1
        flow.failing(work, failure)
        if not failure.cancelled:
            log.warning("operation %s %s failed: %s", operation.kind, operation.id, failure.details)

    def _undo_step(self, work: Work, flow: Flow) -> Play | None:
        operation = work.operation
        # The end of an operation may fail too, when all its steps are done.
        operation.step = min(operation.step, len(flow.steps) - 1)
        play = flow.steps[operation.step].undo(work)
        if play is None:
            operation.step -= 1
        return play

    def _starts_over(self, work: Work, flow: Flow) -> bool:
        """Whether the operation, undone, goes on at once; else it has ended or waits."""
        operation = work.operation
        failure = Failure.of_json(operation.error)
        state = work.server.state if work.server_or_none else None
        again = flow.failed(work, failure)
        if failure.refused and state is not None:
            transitions.refuse(work.server, BY_OPERATION[operation.kind], state)
            again = None
        if again is None:
            self._end(work, failure)
            return False
        operation.attempts += 1
        operation.step, operation.undoing = 0, None
        if not again.after_s:
            return True
        self._queue_again(work, again)
        return False

    def _queue_again(self, work: Work, again: Again) -> None:
        operation = work.operation
        operation.state = QUEUED
        operation.lease_owner = operation.lease_until = None
        operation.not_before = work.now + timedelta(seconds=again.after_s)

    def _end(self, work: Work, failure: Failure | None) -> None:
        operation = work.operation
        operation.state = FAILED if failure else SUCCEEDED
        operation.finished_at = work.now
        operation.lease_owner = operation.lease_until = None
        operation.sealed = None
        if failure is None:
            operation.error = None
        said = failure.message if failure and failure.refused else "Error"
        events.end_all(work, failure is not None, said)
        self._began.pop(operation.id, None)
        _observe(operation, work.now)
        if operation.server_id and _others_wait(work):
            wake_after(work.session)

    def _note_failure(
        self, db: Database, held: Held, ended: Ended | None, error: Exception
    ) -> None:
        """Note why the operation has failed, or that its undoing has; raises the latter again."""
        with db.write() as session:
            work, flow = self._load(session, held)
            if ended is not None:
                events.record_items(work, ended.outcome.items)
            if work.operation.undoing is None:
                cancelled = work.operation.cancel_requested and flow.cancellable
                self._begin_undoing(work, flow, _failure(error, cancelled))
                return
            tries = work.noted("undo_tries", 0) + 1
            work.note(undo_tries=tries)
            if tries >= UNDO_TRIES:
                log.error("operation %s: a step is not undone: %s", held.operation_id, error)
                work.note(undo_tries=0, not_undone=[*work.noted("not_undone", []), str(error)])
                work.operation.step -= 1
                return
        raise error


def _failure(error: Exception, cancelled: bool) -> Failure:
    if not isinstance(error, NovellaError):
        return Failure(INTERNAL, f"{type(error).__name__}: {error}", cancelled=cancelled)
    reason = str(error.details.get("reason") or error.message)
    return Failure(
        error.message,
        reason,
        host_failed=isinstance(error, HostFailed),
        unreachable=isinstance(error, HostFailed) and error.unreachable,
        cancelled=cancelled,
        refused=isinstance(error, OperationRefused),
        found=dict(error.details.get("found") or {}),
    )


def _observe(operation: Operation, now: datetime) -> None:
    waited = (operation.started_at or now) - operation.created_at
    metrics.WAITS.labels(operation.kind).observe(max(0.0, waited.total_seconds()))
    took = metrics.OPERATIONS.labels(operation.kind, operation.state)
    took.observe(max(0.0, (now - operation.created_at).total_seconds()))


def _others_wait(work: Work) -> bool:
    query = select(Operation.id).where(
        Operation.server_id == work.operation.server_id,
        Operation.state == QUEUED,
        Operation.id != work.operation.id,
    )
    return work.session.scalar(query.limit(1)) is not None
