"""Say what the lab is doing and how long each step took."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(text: str, who: str = "lab") -> Iterator[None]:
    """Print `text` now, and the seconds the block took when it ends; flushed for pipes and logs."""
    sys.stdout.write(f"{who}: {text} ... ")
    sys.stdout.flush()
    began = time.monotonic()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        sys.stdout.write(f"{outcome} in {time.monotonic() - began:.1f} s\n")
        sys.stdout.flush()
