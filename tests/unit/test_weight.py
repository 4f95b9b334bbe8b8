"""What a process keeps once it has loaded."""

import subprocess
import sys

from controller.settings import PROJECT_DIR

# What refers to itself is found by the collector alone; what is kept is out of its sight.
LOADS = """
import gc, weakref
from controller.weight import settle
class Thing: pass
kept, dropped = Thing(), Thing()
kept.self, dropped.self = kept, dropped
gone = weakref.ref(dropped)
del dropped
settle()
assert gone() is None
assert not any(each is kept for each in gc.get_objects())
"""


def test_what_only_loading_needed_is_gone_and_the_rest_is_looked_through_no_more() -> None:
    """In a process of its own: it is for all that the process has."""
    subprocess.run([sys.executable, "-c", LOADS], cwd=PROJECT_DIR, check=True, timeout=60)
