"""Wait for a condition, with a limit."""

import time
from collections.abc import Callable
from typing import TypeVar

from lab.errors import LabError

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T | None], *, what: str, timeout_s: float, interval_s: float = 0.05
) -> T:
    """Return what `condition()` gives as soon as that is true.

    Raises LabError that names `what` when it is still false after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() >= deadline:
            raise LabError(f"Waited {timeout_s:g} s in vain until {what}.")
        time.sleep(interval_s)
    return found
