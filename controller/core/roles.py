"""Roles: what they are called, and which imply which."""

from collections.abc import Iterable

# Each implies all to its right.
CHAIN = ("admin", "member", "reader")


def with_implied(names: Iterable[str]) -> frozenset[str]:
    """Return `names` and the roles that they imply: admin, member, reader."""
    given = frozenset(names)
    first = next((index for index, name in enumerate(CHAIN) if name in given), len(CHAIN))
    return given | frozenset(CHAIN[first:])
