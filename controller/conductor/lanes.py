"""Lanes: one for each host, where plays wait for their turn and go out together.

While all of a host's slots are busy, what comes for the same playbook gathers and goes out as one
run with several items. With a free slot nothing waits. Hosts run side by side; one that doesn't
answer has a small share of the threads, so that it never holds up the others.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from controller.conductor.runs import Ticket

log = logging.getLogger(__name__)

# Runs at once on all hosts that did not answer their last run.
SUSPECT_RUNS = 2


class Lanes:
    """`work` gets the tickets of one run, in a thread of its own, and returns whether the host
    answered.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Ticket]], bool],
        *,
        runs_at_once: int,
        runs_per_host: int,
        batch_max: int,
    ) -> None:
        self._work = work
        self._runs_at_once = runs_at_once
        self._runs_per_host = runs_per_host
        self._batch_max = batch_max
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[Ticket]] = {}
        self._running: Counter[str] = Counter()
        self._suspects: set[str] = set()
        self._gathering = 0
        self._closed = False

    def add(self, ticket: Ticket) -> bool:
        """Queue a play; it starts at once when its host has a free slot. False when closed."""
        with self._changed:
            if self._closed:
                return False
            self._waiting.setdefault(ticket.play.host_id, deque()).append(ticket)
            self._start_what_can()
            return True

    def waiting(self) -> dict[str, int]:
        """Return how many plays wait for each host."""
        with self._changed:
            return {host_id: len(queue) for host_id, queue in self._waiting.items()}

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Within the block plays are only queued: what was claimed together goes together."""
        with self._changed:
            self._gathering += 1
        try:
            yield
        finally:
            with self._changed:
                self._gathering -= 1
                self._start_what_can()

    def close(self) -> list[Ticket]:
        """Start no more runs; return the tickets that waited."""
        with self._changed:
            self._closed = True
            waiting = [ticket for queue in self._waiting.values() for ticket in queue]
            self._waiting.clear()
            return waiting

    def wait_idle(self, timeout_s: float) -> bool:
        """Return True once nothing runs or waits, False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._running, timeout_s
            )

    def _start_what_can(self) -> None:
        if self._gathering or self._closed:
            return
        # A host that got a turn goes to the end, so that none is served before all others were.
        for host_id in list(self._waiting):
            while host_id in self._waiting and self._has_room(host_id):
                tickets = self._take(host_id)
                self._running[host_id] += 1
                threading.Thread(
                    target=self._run,
                    args=(host_id, tickets),
                    name=f"run-{host_id[:8]}",
                    daemon=True,
                ).start()
            if host_id in self._waiting:
                self._waiting[host_id] = self._waiting.pop(host_id)

    def _has_room(self, host_id: str) -> bool:
        if self._running[host_id] >= self._runs_per_host:
            return False
        suspect = host_id in self._suspects
        alike = sum(
            count for other, count in self._running.items() if (other in self._suspects) == suspect
        )
        return alike < (SUSPECT_RUNS if suspect else self._runs_at_once)

    def _take(self, host_id: str) -> list[Ticket]:
        """Take the first ticket and those that can go with it: same playbook, other servers."""
        queue, left = self._waiting.pop(host_id), deque[Ticket]()
        taken: list[Ticket] = []
        servers: set[str | None] = set()
        for ticket in queue:
            # What a hook forbids is one operation.
            fits = not taken or (ticket.play == taken[0].play and not ticket.play.hooks)
            known = ticket.server_id is not None and ticket.server_id in servers
            if fits and not known and len(taken) < self._batch_max:
                taken.append(ticket)
                servers.add(ticket.server_id)
            else:
                left.append(ticket)
        if left:
            self._waiting[host_id] = left
        return taken

    def _run(self, host_id: str, tickets: Sequence[Ticket]) -> None:
        answered = True
        try:
            answered = self._work(tickets)
        except Exception:
            log.exception("a run on host %s failed in the conductor", host_id)
        with self._changed:
            (self._suspects.discard if answered else self._suspects.add)(host_id)
            self._running[host_id] -= 1
            if not self._running[host_id]:
                del self._running[host_id]
            self._start_what_can()
            self._changed.notify_all()
