"""Passwords: Argon2id at 19 MiB, two passes, one lane, as OWASP advises."""

import contextlib
import ctypes
import threading
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# Each takes 19 MiB and a core for some 30 ms: a burst of log-ins waits instead of swapping.
_at_once = threading.BoundedSemaphore(2)
_M_MMAP_THRESHOLD = -3


def hash_password(password: str) -> str:
    """Return the Argon2id text to keep for `password`."""
    with _at_once:
        return _hasher().hash(password)


def verify(password_hash: str | None, password: str) -> bool:
    """Whether `password` fits. None (no such user, or no password) takes as long and is False."""
    with _at_once:
        try:
            fits = _hasher().verify(password_hash or _nobody(), password)
        except (VerificationError, InvalidHashError):
            return False
    return fits and password_hash is not None


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    # After the first 19 MiB, glibc would hand such blocks out of each thread's own heap, and keep
    # them there: 166 MB instead of 14 after log-ins on eight threads. A fixed threshold gives them
    # back to the system at once.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 1 << 20)
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@lru_cache(maxsize=1)
def _nobody() -> str:
    """A hash for users that aren't there, so that a guess at names takes the same time."""
    return _hasher().hash("nobody has this password")
