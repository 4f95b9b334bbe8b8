"""Wait for a condition, with a limit."""

import time
from collections.abc import Callable

from lab.errors import LabError


def wait_until(
    condition: Callable[[], object], *, what: str, timeout_s: float, interval_s: float = 0.05
) -> None:
    """Return as soon as `condition()` is true.

    Raises LabError that names `what` when it is still false after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            raise LabError(f"Waited {timeout_s:g} s in vain until {what}.")
        time.sleep(interval_s)
