"""The worker: the process of an engine, its wake-ups and its reconcilers."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError

from controller import metrics
from controller.conductor.engine import Engine
from controller.conductor.incarnation import Incarnation
from controller.conductor.reconcilers import (
    artifact_ageing,
    expired_leases,
    fenced_hosts,
    host_drains,
    host_heartbeat,
    host_leftovers,
    host_tidy,
    image_check,
    lost_task_states,
    resize_confirms,
    rounds,
    server_allocations,
    shelved_servers,
    soft_deleted_servers,
    unneeded_images,
)
from controller.core import workers
from controller.db import failures, revisions
from controller.db.clock import DatabaseClock
from controller.db.outages import Outages
from controller.db.session import Database
from controller.errors import BadRequest
from controller.queue.local import Wakeups, wake_workers
from controller.queue.wake import listener, waker
from controller.runner.requests import Executor
from controller.settings import Settings
from controller.weight import settle

log = logging.getLogger(__name__)

# A reconciler that was told to stop needs no longer, except where a database hangs.
JOIN_S = 10.0
# Some hundreds of hosts are asked in less.
AUDIT_LONGEST_S = 1800.0


class Periodic:
    """Calls a reconciler in a thread of its own, at an interval, until told to stop.

    A thread each: a heartbeat that waits for a dead host must not hold up the leases.
    """

    def __init__(
        self, name: str, interval_s: float, reconcile: Callable[[], None], outages: Outages
    ) -> None:
        self._name, self._interval_s, self._reconcile = name, interval_s, reconcile
        self._outages = outages
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start no other round; `join` waits for the present one."""
        self._stop.set()

    def join(self) -> None:
        self._thread.join(JOIN_S)

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self._reconcile()
            except Exception as error:
                if failures.is_away(error):
                    self._outages.note(f"{self._name}, which is tried again,", error)
                else:
                    log.exception("%s failed; it is tried again", self._name)
            self._stop.wait(self._interval_s)


def main(settings: Settings, name: str = "worker") -> None:
    """Run a worker until SIGTERM or SIGINT. Raises Conflict when one of that name runs already."""
    incarnation = Incarnation(settings.run_dir, name)
    metrics.start(settings.metrics_dir, name if name == "worker" else f"worker-{name}")
    executor = make_executor(settings)
    executor.clean_up()
    db = Database(settings.db_url, on_wake=waker(settings))
    revisions.require(db)
    engine = Engine(settings, db, executor, owner=incarnation.owner, clock=DatabaseClock(db))
    wakeups = Wakeups(settings.run_dir, name)
    from_others = listener(settings)
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()
        wake_workers(settings.run_dir)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # Before the first claim, so that what a killed predecessor held goes first.
    _try(
        db, "giving expired leases back", partial(expired_leases.run, db, incarnation, engine.clock)
    )
    reconcilers = _reconcilers(settings, db, engine, incarnation, stopping.is_set)
    settle()
    for reconciler in reconcilers:
        reconciler.start()
    log.info("worker %s works", incarnation.owner)
    try:
        _work(db, engine, wakeups, stopping, settings.poll_s)
    finally:
        for reconciler in reconcilers:
            reconciler.stop()
        engine.stop(settings.stop_timeout_s)
        for reconciler in reconcilers:
            reconciler.join()
        _try(db, "taking this worker off the list", partial(_forget, db, engine.owner))
        if from_others:
            from_others.close()
        wakeups.close()
        executor.close()
        db.dispose()
        incarnation.close()
    log.info("worker %s has stopped", incarnation.owner)


def make_executor(settings: Settings) -> Executor:
    """Return what runs the playbooks, by `settings.executor`. Raises BadRequest."""
    if settings.executor == "ansible":
        from controller.runner.ansible import AnsibleExecutor

        return AnsibleExecutor(settings)
    if settings.executor == "simulated":
        from controller.runner.simulated import SimulatedExecutor

        log.warning("the executor is simulated: no host is touched")
        return SimulatedExecutor(settings.simulated_delay_s, settings.simulated_failure_rate)
    raise BadRequest(
        f"Unknown executor '{settings.executor}' in the settings. There are: ansible, simulated."
    )


class Sign:
    """The worker's sign of life in the database. Given by its main loop, so that a worker that
    hangs gives none.
    """

    def __init__(self, db: Database, engine: Engine) -> None:
        self._db, self._engine = db, engine
        self._next = 0.0

    def give_when_due(self) -> int:
        if time.monotonic() < self._next:
            return 0
        with self._db.write() as session:
            workers.note_seen(session, self._engine.owner, self._engine.clock())
        self._next = time.monotonic() + workers.SAY_EVERY_S
        return 1


def _forget(db: Database, owner: str) -> int:
    with db.write() as session:
        workers.forget(session, owner)
    return 1


def _work(
    db: Database, engine: Engine, wakeups: Wakeups, stopping: threading.Event, poll_s: float
) -> None:
    sign = Sign(db, engine)
    while not stopping.is_set():
        _try(db, "giving a sign of life", sign.give_when_due)
        claimed = _try(db, "looking for work, which is tried again,", engine.tick)
        # After a full claim there may be more; else somebody wakes us, or the poll does.
        if not claimed:
            wakeups.wait(poll_s)


def _try(db: Database, what: str, action: Callable[[], int]) -> int:
    """Return what `action` does, which needs the database; 0 when that fails, which is logged."""
    try:
        return action()
    except SQLAlchemyError as error:
        db.outages.note(what, error)
        time.sleep(1.0)
        return 0


def _reconcilers(
    settings: Settings,
    db: Database,
    engine: Engine,
    incarnation: Incarnation,
    stopping: Callable[[], bool],
) -> list[Periodic]:
    clock = engine.clock

    def in_turn(
        name: str, every_s: float, longest_s: float, reconcile: Callable[[], object]
    ) -> Periodic:
        """Return a reconciler of which one worker at a time does each round."""

        def take_turn() -> None:
            with rounds.turn(
                db, name, incarnation.owner, clock,
                every_s=every_s, longest_s=longest_s, is_dead=incarnation.is_dead,
            ) as mine:  # fmt: skip
                if mine:
                    reconcile()

        # Looked at more often than it is due: the worker whose turn it was may be gone.
        return Periodic(name, min(every_s, 60.0), take_turn, db.outages)

    return [
        Periodic(
            "expired-leases",
            settings.lease_s / 6,
            lambda: _ignore(expired_leases.run(db, incarnation, clock)),
            db.outages,
        ),
        in_turn(
            "host-heartbeat",
            host_heartbeat.look_every_s(settings),
            2 * host_heartbeat.TIMEOUT_S,
            lambda: host_heartbeat.run(settings, db, engine.executor, clock, stopping),
        ),
        Periodic(
            "fenced-hosts",
            fenced_hosts.INTERVAL_S,
            lambda: _ignore(fenced_hosts.run(settings, db, clock)),
            db.outages,
        ),
        Periodic(
            "host-drains",
            host_drains.INTERVAL_S,
            lambda: _ignore(host_drains.run(settings, db, clock)),
            db.outages,
        ),
        in_turn(
            rounds.LEFTOVERS,
            settings.reap_every_s,
            AUDIT_LONGEST_S,
            lambda: host_leftovers.run(
                settings, db, engine.executor, clock, _sleep_until(stopping), stopping
            ),
        ),
        in_turn(
            "host-tidy",
            settings.host_tidy_every_s,
            AUDIT_LONGEST_S,
            lambda: host_tidy.run(settings, db, engine.executor, clock, stopping),
        ),
        *(
            [
                in_turn(
                    "image-check",
                    settings.image_check_every_s,
                    image_check.LONGEST_S,
                    lambda: image_check.run(settings, db, engine.executor, clock, stopping),
                )
            ]
            if settings.image_check_every_s
            else []
        ),
        in_turn(
            "server-allocations",
            server_allocations.INTERVAL_S,
            server_allocations.INTERVAL_S,
            lambda: server_allocations.run(db, clock),
        ),
        Periodic(
            "artifact-ageing",
            artifact_ageing.EVERY_S,
            lambda: _ignore(artifact_ageing.run(settings)),
            db.outages,
        ),
        Periodic(
            "lost-task-states",
            60.0,
            lambda: _ignore(lost_task_states.run(db, clock)),
            db.outages,
        ),
        in_turn(
            "resize-confirms",
            resize_confirms.INTERVAL_S,
            resize_confirms.INTERVAL_S,
            lambda: resize_confirms.run(settings, db, clock),
        ),
        in_turn(
            "shelved-servers",
            shelved_servers.INTERVAL_S,
            shelved_servers.INTERVAL_S,
            lambda: _ignore(shelved_servers.run(settings, db, clock)),
        ),
        Periodic(
            "soft-deleted-servers",
            soft_deleted_servers.INTERVAL_S,
            lambda: _ignore(soft_deleted_servers.run(settings, db, clock)),
            db.outages,
        ),
        Periodic(
            "unneeded-images",
            unneeded_images.INTERVAL_S,
            lambda: _ignore(unneeded_images.run(settings, db)),
            db.outages,
        ),
    ]


def _sleep_until(stopping: Callable[[], bool]) -> Callable[[float], None]:
    """Return a sleep that ends early when the worker is to stop."""

    def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while not stopping() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))

    return sleep


def _ignore(_count: int) -> None:
    """A reconciler's count is for its tests."""
