"""What a process weighs once it has loaded what it works with."""

import contextlib
import ctypes
import gc


def settle() -> None:
    """Give back what only loading needed, and never look through the rest for garbage again.

    Called when all is loaded: to go through the API's 200,000 objects again and again took a
    quarter of a long list's time. The system gets its pages back by glibc's own call, where there
    is one: 1.5 MB of each process.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
