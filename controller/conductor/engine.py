"""The engine: claims operations, moves them step by step, and sends their plays to the lanes.

Every move is a short transaction that begins by looking whether the operation is still ours; no
transaction spans a run. Whatever is interrupted, by a crash or a lost database, is found in the
operation's row by whoever claims it next.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from controller import logs
from controller.conductor import backoff, claims, runs
from controller.conductor.claims import Held, Lost, Room
from controller.conductor.lanes import Lanes
from controller.conductor.moves import Ended, Mover
from controller.conductor.runs import Prepared, Ticket
from controller.conductor.steps import Outcome
from controller.core import hosts, migrations, network_updates, port_updates
from controller.db import failures
from controller.db.base import utcnow
from controller.db.session import Database
from controller.runner.requests import CANCELLED, FAILED, UNREACHABLE, Executor, Run
from controller.settings import Settings

log = logging.getLogger(__name__)

# Operations that one worker holds at most, beside those that wait for hosts with a full lane; and
# with them. Creates learn of their host only after the claim.
HELD_MAX = 200
HELD_IN_ALL = 1000
# With their pauses these are a quarter of an hour, in which another release's worker may come by.
UNREADABLE_TRIES = 10
# Full batches that wait for a host, at most.
BATCHES_WAITING = 2


class Engine:
    """One worker's engine. `owner` names the worker in leases; `tick` is called by its main loop.

    `run_until_idle` does all that can be done now, for tests and for one-off work.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        executor: Executor,
        *,
        owner: str = "engine",
        clock: Callable[[], datetime] = utcnow,
    ) -> None:
        self.settings = settings
        self.db = db
        self.executor = executor
        self.owner = owner
        self.clock = clock
        self.stopping = False
        self._mover = Mover(settings, owner, clock)
        self._held: dict[str, Held] = {}
        # Operations to be given up, and those that another worker has by now.
        self._cancelled: frozenset[str] = frozenset()
        self._lost: frozenset[str] = frozenset()
        self._abandoned = False
        self._lock = threading.Lock()
        self._renew_at = 0.0
        self._lanes = Lanes(
            self._run,
            runs_at_once=settings.worker_threads,
            runs_per_host=settings.runs_per_host,
            batch_max=settings.batch_max,
        )

    def tick(self) -> int:
        """Renew leases when due, claim what may start and start it; return how many were claimed.

        Raises what the database raises; the next tick tries again.
        """
        self._look_after_held()
        if self.stopping:
            return 0
        claimed = self._claim()
        with self._lanes.gathering():
            for held in claimed:
                # Many moves, or a busy database, can take longer than a lease lasts.
                self._renew_when_due()
                self._advance(held)
        return len(claimed)

    def run_until_idle(self, timeout_s: float = 60.0) -> None:
        """Work until nothing runs and nothing can be claimed. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while True:
            claimed = self.tick()
            # Runs may end, and free what waited for them, between two looks.
            idle = self._lanes.wait_idle(0.05) and not self._held_now()
            if idle and not claimed and not self.tick():
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"the engine still works after {timeout_s} s")

    def stop(self, timeout_s: float) -> None:
        """Start nothing more, wait for what runs, then hand on what is left.

        What could not end in time is queued again: another worker goes on where this one stopped.
        """
        self.stopping = True
        for ticket in self._lanes.close():
            self._give_back(ticket.held, 0.0)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not self._lanes.wait_idle(1.0):
            self._look_after_held()
        self._abandoned = True
        self._lanes.wait_idle(10.0)
        for held in self._held_now():
            self._give_back(held, 0.0)

    def _claim(self) -> list[Held]:
        now = self.clock()
        with self.db.read() as session:
            found = claims.claimable(session, now, self._room())
            waits = claims.has_queued_cancels(session)
        if not found and not waits:
            return []

        def claim(session: Session) -> tuple[bool, list[Held]]:
            cancels = waits and claims.request_cancels(session)
            return cancels, claims.claim(session, self.owner, found, now, self.settings.lease_s)

        cancels, held = self.db.run(claim)
        if cancels:
            self._renew_at = 0.0
        with self._lock:
            self._held.update({each.operation_id: each for each in held})
        return held

    def _room(self) -> Room:
        waiting, per_host = self._lanes.waiting(), BATCHES_WAITING * self.settings.batch_max
        stuck = sum(count for count in waiting.values() if count >= per_host)
        held = len(self._held)
        return Room(min(HELD_MAX - held + stuck, HELD_IN_ALL - held), per_host, waiting)

    def _look_after_held(self) -> None:
        """Renew the leases, learn of cancels, and of what isn't ours any more."""
        with self._lock:
            known = dict(self._held)
        if not known:
            return
        with self.db.read() as session:
            owned = claims.owned(session, self.owner)
        lost = known.keys() - owned.keys()
        with self._lock:
            self._cancelled = frozenset(each for each, cancel in owned.items() if cancel)
            # Ended since, by one of our own threads, is not lost.
            self._lost = frozenset(lost & self._held.keys())
        self._renew_when_due()

    def _renew_when_due(self) -> None:
        """Renew the leases of what is held; what fails is tried again at the next look."""
        if time.monotonic() < self._renew_at:
            return
        held = [each.operation_id for each in self._held_now()]
        try:
            with self.db.write() as session:
                claims.renew(session, self.owner, held, self.clock(), self.settings.lease_s)
        except SQLAlchemyError as error:
            self._note(f"renewing {len(held)} leases", error)
        else:
            self._renew_at = time.monotonic() + self.settings.lease_s / 3

    def _advance(self, held: Held, ended: Ended | None = None) -> None:
        """Move the operation as far as it goes without a run."""
        with logs.about(operation_id=held.operation_id), self._letting_go(held, "moving"):
            ticket = self._mover.move(self.db, held, ended)
            if ticket is None:
                self._drop(held)
            elif not self._lanes.add(ticket):
                self._give_back(held, 0.0)

    @contextlib.contextmanager
    def _letting_go(self, held: Held, doing: str) -> Iterator[None]:
        """Queue the operation again when what is done in here fails; another worker's is left."""
        try:
            yield
        except Lost:
            log.warning("operation %s is another worker's by now", held.operation_id)
            self._drop(held)
        except Exception as error:
            self._note(f"{doing} operation {held.operation_id}, which is queued again,", error)
            self._give_back(held, backoff.delay_s(1.0, held.generation))

    def _run(self, tickets: Sequence[Ticket]) -> bool:
        """Do one run and take in its results; return whether the host answered.

        Whatever goes wrong here, no operation stays held with nobody at work on it. What has moved
        on by then (`moved`) is elsewhere: in another run, perhaps, or ended.
        """
        moved: set[Held] = set()
        try:
            return self._prepare_and_run(tickets, moved)
        except Exception as error:
            self._note("a run, whose operations are queued again,", error)
            for ticket in tickets:
                if ticket.held not in moved:
                    self._give_back(ticket.held, backoff.delay_s(1.0, ticket.held.generation))
            return True

    def _prepare_and_run(self, tickets: Sequence[Ticket], moved: set[Held]) -> bool:
        def cancelled() -> bool:
            left = [ticket for ticket in tickets if ticket.held not in moved]
            # With none left the run is about to end, and has more to say for operators.
            given_up = bool(left) and all(self._is_given_up(ticket) for ticket in left)
            return self._abandoned or given_up

        try:
            prepared = self.db.run(
                lambda session: runs.prepare(
                    session, self.settings, self.owner, tickets, cancelled, self.clock()
                )
            )
        except SQLAlchemyError:
            raise
        except Exception as error:
            return self._run_apart(tickets, error, moved)
        taken = {ticket.held for ticket in (*prepared.tickets, *prepared.cancelled)}
        for ticket in tickets:
            if ticket.held not in taken:
                self._drop(ticket.held)
        for ticket in prepared.cancelled:
            moved.add(ticket.held)
            self._advance(ticket.held, Ended(Outcome(CANCELLED, "cancelled"), ticket.undo))
        if prepared.run is None:
            return True
        return self._launch(prepared, prepared.run, moved)

    def _run_apart(self, tickets: Sequence[Ticket], error: Exception, moved: set[Held]) -> bool:
        """One of the tickets can't be run: the others go alone, and it fails."""
        moved.update(ticket.held for ticket in tickets)
        if len(tickets) > 1:
            answers = [self._run([ticket]) for ticket in tickets]
            return all(answers)
        log.error("the run of %s can't be prepared", tickets[0].held.operation_id, exc_info=error)
        outcome = Outcome(FAILED, f"the run could not be prepared: {error}")
        self._advance(tickets[0].held, Ended(outcome, tickets[0].undo))
        return True

    def _launch(self, prepared: Prepared, run: Run, moved: set[Held]) -> bool:
        """Run it; operations whose item ends before the others are moved on at once (`moved`)."""

        forced = threading.Event()

        def on_item(host_id: str, item: dict[str, Any]) -> None:
            if "progress" in item:
                self._note_progress(prepared, item, forced)
                return
            found = runs.early_outcome(prepared, host_id, item)
            if found is not None:
                self._end_early(prepared, *found, moved)

        with logs.about(operation_id=",".join(run.keep_as), host=run.hosts[0].name):
            result = self.executor.run(replace(run, on_item=on_item, forced=forced.is_set))
        host_id = prepared.tickets[0].play.host_id
        answered = result.of(host_id).status != UNREACHABLE
        if not answered:
            self._note_unreachable(host_id)
        self._mend_rules(prepared, host_id, prepared.server_ids)
        with self._lanes.gathering():
            for ticket, outcome in runs.outcomes(prepared, result):
                if ticket.held in moved:
                    continue
                moved.add(ticket.held)
                if outcome.status == runs.UNREADABLE:
                    self._take_in_unreadable(ticket, outcome)
                elif self.stopping and outcome.status == CANCELLED:
                    self._give_back(ticket.held, 0.0)
                else:
                    self._advance(ticket.held, Ended(outcome, ticket.undo))
        return answered

    def _take_in_unreadable(self, ticket: Ticket, outcome: Outcome) -> None:
        """Leave a result of another release to that one's workers; with none there, it fails."""
        held = ticket.held
        with self._letting_go(held, "counting tries of"):
            tries = self.db.run(lambda session: claims.note_unreadable(session, self.owner, held))
            if tries < UNREADABLE_TRIES:
                log.warning("operation %s: %s", held.operation_id, outcome.message)
                self._give_back(held, backoff.delay_s(2.0, tries))
            else:
                why = f"{outcome.message} ({tries} tries)"
                failed = replace(outcome, status=FAILED, message=why)
                self._advance(held, Ended(failed, ticket.undo))

    def _end_early(
        self, prepared: Prepared, ticket: Ticket, outcome: Outcome, moved: set[Held]
    ) -> None:
        """Take in a server's result, once; what fails here is left to the run's end.

        Raises nothing: whoever hands the result on reads the run's output.
        """
        if ticket.held in moved:
            return
        try:
            server_ids = prepared.server_ids & {ticket.server_id}
            self._mend_rules(prepared, ticket.play.host_id, server_ids)
        except Exception as error:
            self._note("taking in an early result, which is left to the end of its run,", error)
            return
        moved.add(ticket.held)
        self._advance(ticket.held, Ended(outcome, ticket.undo))

    def _note_progress(
        self, prepared: Prepared, item: dict[str, Any], forced: threading.Event
    ) -> None:
        """Keep how far a live migration is, and learn whether it is to be over with.

        Raises nothing: whoever hands it on reads the run's output.
        """
        server_id = str(item.get("id"))
        if server_id not in prepared.server_ids:
            return
        try:
            with self.db.write() as session:
                if migrations.note_progress(session, server_id, item["progress"]):
                    forced.set()
        except Exception as error:
            self._note("noting how far a live migration is", error)

    def _mend_rules(self, prepared: Prepared, host_id: str, server_ids: frozenset[str]) -> None:
        """Have the host's rules and networks set anew if they changed meanwhile; before the
        operations end.
        """
        with self.db.read() as session:
            due_in_s = runs.rules_due_in(session, prepared, server_ids)
            fabric_changed = runs.fabric_changed(session, prepared)
        if fabric_changed:
            with self.db.write() as session:
                network_updates.submit_for_hosts(session, {host_id})
        if due_in_s is not None:
            with self.db.write() as session:
                port_updates.submit_for_hosts(session, {host_id}, after_s=due_in_s)

    def _is_given_up(self, ticket: Ticket) -> bool:
        """Whether the ticket's run need not go on. What undoes a cancelled operation must."""
        operation_id = ticket.held.operation_id
        return operation_id in self._lost or (
            operation_id in self._cancelled and ticket.cancellable and not ticket.undo
        )

    def _note_unreachable(self, host_id: str) -> None:
        try:
            with self.db.write() as session:
                hosts.note_unreachable(self.settings, hosts.get(session, host_id), self.clock())
        except SQLAlchemyError as error:
            self._note(f"noting that host {host_id} does not answer", error)

    def _note(self, what: str, error: Exception) -> None:
        """Log a failure: a traceback, unless it is the database that is away."""
        if failures.is_away(error):
            self.db.outages.note(what, error)
        else:
            log.error("%s failed: %s", what, error, exc_info=error)

    def _held_now(self) -> list[Held]:
        with self._lock:
            return list(self._held.values())

    def _drop(self, held: Held) -> None:
        with self._lock:
            if self._held.get(held.operation_id) == held:
                del self._held[held.operation_id]

    def _give_back(self, held: Held, delay_s: float) -> None:
        """Queue the operation again. When even that fails its lease runs out: nobody renews it."""
        try:
            with self.db.write() as session:
                claims.give_back(
                    session,
                    claims.held_by(self.owner, held),
                    self.clock() + timedelta(seconds=delay_s),
                )
        except SQLAlchemyError as error:
            self._note(f"queueing operation {held.operation_id} again", error)
        self._drop(held)
