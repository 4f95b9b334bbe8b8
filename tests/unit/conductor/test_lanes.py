"""Lanes: nothing waits for company, what waits anyway goes together, and hosts don't wait for
each other.
"""

import threading
from collections.abc import Iterator, Sequence

import pytest

from controller.conductor.claims import Held
from controller.conductor.lanes import Lanes
from controller.conductor.runs import Ticket
from controller.conductor.steps import Play
from lab.waiting import wait_until


def ticket(number: int, host: str = "h1", playbook: str = "server_create") -> Ticket:
    return Ticket(Held(f"op{number}", 1), Play(playbook, host), f"s{number}")


class Bench:
    """Lanes whose runs last until they are let go."""

    def __init__(self, **bounds: int) -> None:
        self.started: list[list[Ticket]] = []
        self.gates: dict[str, threading.Event] = {}
        self.answers: dict[str, bool] = {}
        known = {"runs_at_once": 4, "runs_per_host": 1, "batch_max": 50} | bounds
        self.lanes = Lanes(self._work, **known)

    def _work(self, tickets: Sequence[Ticket]) -> bool:
        self.started.append(list(tickets))
        host = tickets[0].play.host_id
        self.gate(host).wait(60)
        return self.answers.get(host, True)

    def gate(self, host: str) -> threading.Event:
        return self.gates.setdefault(host, threading.Event())

    def sizes(self) -> list[int]:
        return [len(each) for each in self.started]

    def wait_started(self, count: int) -> None:
        wait_until(
            lambda: len(self.started) == count, what=f"{count} runs have started", timeout_s=60
        )

    def finish(self) -> None:
        for host in ("h1", "h2", "h3", "dead1", "dead2", "dead3"):
            self.gate(host).set()
        assert self.lanes.wait_idle(10)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.finish()


def test_a_lone_request_starts_at_once(bench: Bench) -> None:
    bench.lanes.add(ticket(1))
    bench.wait_started(1)


def test_what_comes_while_the_lane_is_busy_goes_out_together(bench: Bench) -> None:
    for number in range(5):
        bench.lanes.add(ticket(number))
    bench.finish()
    assert bench.sizes() == [1, 4]


def test_what_was_claimed_together_goes_together(bench: Bench) -> None:
    with bench.lanes.gathering():
        for number in range(5):
            bench.lanes.add(ticket(number))
    bench.finish()
    assert bench.sizes() == [5]


def test_a_batch_is_bounded_and_of_one_playbook() -> None:
    bench = Bench(batch_max=2)
    with bench.lanes.gathering():
        for number in range(3):
            bench.lanes.add(ticket(number))
        bench.lanes.add(ticket(9, playbook="server_delete"))
    bench.finish()
    assert bench.sizes() == [2, 1, 1]


def test_a_server_is_not_twice_in_a_run(bench: Bench) -> None:
    with bench.lanes.gathering():
        bench.lanes.add(ticket(1))
        bench.lanes.add(Ticket(Held("other", 1), Play("server_create", "h1"), "s1"))
    bench.finish()
    assert bench.sizes() == [1, 1]


def test_hosts_run_side_by_side(bench: Bench) -> None:
    bench.lanes.add(ticket(1, "h1"))
    bench.lanes.add(ticket(2, "h2"))
    bench.wait_started(2)


def test_hosts_that_do_not_answer_leave_room_for_the_others() -> None:
    bench = Bench(runs_at_once=2)
    dead = ("dead1", "dead2", "dead3")
    for host in dead:
        bench.answers[host] = False
        bench.gate(host).set()
        bench.lanes.add(ticket(1, host))
    assert bench.lanes.wait_idle(10)
    for number, host in enumerate(dead):
        bench.gate(host).clear()
        bench.lanes.add(ticket(10 + number, host))
    bench.lanes.add(ticket(20, "h1"))
    bench.wait_started(3 + 2 + 1)
    bench.finish()


def test_closed_lanes_start_nothing_and_return_what_waited(bench: Bench) -> None:
    bench.lanes.add(ticket(1))
    bench.lanes.add(ticket(2))
    assert [each.held.operation_id for each in bench.lanes.close()] == ["op2"]
    bench.finish()
    assert bench.sizes() == [1]
