"""Waiting with a limit."""

import pytest

from lab.errors import LabError
from lab.waiting import wait_until


def test_a_condition_that_comes_true_ends_the_wait() -> None:
    answers = iter([False, False, True])
    wait_until(lambda: next(answers), what="the third look", timeout_s=5, interval_s=0)


def test_a_condition_that_stays_false_is_named() -> None:
    with pytest.raises(LabError, match="until pigs fly"):
        wait_until(lambda: False, what="pigs fly", timeout_s=0)
