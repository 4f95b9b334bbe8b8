"""Rounds: of several controllers one takes each; that of a dead one is taken over."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from controller.conductor.reconcilers import rounds
from tests.unit.conductor.conftest import Cloud


def turn(
    cloud: Cloud, owner: str, is_dead: Callable[[str], bool] = lambda _owner: False
) -> AbstractContextManager[bool]:
    return rounds.turn(
        cloud.db, "tidy", owner, cloud.clock, every_s=60, longest_s=300, is_dead=is_dead
    )


def test_one_of_two_takes_a_round(cloud: Cloud) -> None:
    with turn(cloud, "one") as first, turn(cloud, "two") as second:
        assert (first, second) == (True, False)
    with turn(cloud, "two") as again:
        assert not again
    cloud.clock.advance(60)
    with turn(cloud, "two") as next_round:
        assert next_round


def test_a_round_under_way_is_not_begun_again(cloud: Cloud) -> None:
    with turn(cloud, "one"):
        cloud.clock.advance(100)
        with turn(cloud, "two") as second:
            assert not second
        cloud.clock.advance(201)
        with turn(cloud, "two") as later:
            assert later


def test_the_round_of_a_dead_worker_is_taken_over_at_once(cloud: Cloud) -> None:
    dies = turn(cloud, "one")
    assert dies.__enter__()
    with turn(cloud, "two", is_dead=lambda owner: owner == "one") as second:
        assert second


def test_a_round_whose_end_the_database_never_heard_of_holds_up_others_but_not_its_worker(
    cloud: Cloud,
) -> None:
    unheard = turn(cloud, "one")
    assert unheard.__enter__()
    with turn(cloud, "one") as early:
        assert not early
    cloud.clock.advance(60)
    with turn(cloud, "two") as other:
        assert not other
    with turn(cloud, "one") as own:
        assert own


def test_a_round_that_fails_is_over(cloud: Cloud) -> None:
    try:
        with turn(cloud, "one"):
            raise RuntimeError
    except RuntimeError:
        pass
    cloud.clock.advance(60)
    with turn(cloud, "two") as second:
        assert second


def test_a_clock_that_was_set_back_stops_nothing(cloud: Cloud) -> None:
    cloud.clock.advance(100_000)
    with turn(cloud, "one"):
        pass
    cloud.clock.advance(-100_000)
    with turn(cloud, "one") as again:
        assert again
