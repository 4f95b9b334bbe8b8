"""Passwords: what is kept of one, and what a check costs."""

import threading
from pathlib import Path

from controller.core.passwords import hash_password, verify


def resident_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 >> 20


def test_a_password_fits_its_own_hash_alone() -> None:
    kept = hash_password("{{ 7*7 }} 'ü'\n")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert verify(kept, "{{ 7*7 }} 'ü'\n")
    assert not verify(kept, "49 'ü'\n")
    assert not verify("not a hash", "anything")


def test_nobody_has_the_password_of_nobody() -> None:
    assert not verify(None, "nobody has this password")


def test_the_memory_of_checks_is_given_back() -> None:
    kept = hash_password("x")
    before = resident_mb()
    threads = [threading.Thread(target=verify, args=(kept, "x")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert resident_mb() - before < 15
