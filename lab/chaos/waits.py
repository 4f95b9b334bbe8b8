"""Waiting for what something else brings about."""

import time
from collections.abc import Callable
from typing import TypeVar

from lab.errors import LabError

T = TypeVar("T")
LOOK_EVERY_S = 0.25


def wait_for(
    look: Callable[[], T | None], what: str, timeout_s: float, every_s: float = LOOK_EVERY_S
) -> T:
    """Return what `look` finds as soon as it finds something. Raises LabError naming `what`."""
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None:
        if time.monotonic() >= deadline:
            raise LabError(f"Waited {timeout_s:g} s in vain until {what}.")
        time.sleep(every_s)
    return found
