"""Fixtures of the tests on lab hosts; see tests/fixtures/{hand_lab,by_hand}.py."""

from tests.fixtures.by_hand import by_hand, server
from tests.fixtures.hand_lab import lab, lab_host

__all__ = ["by_hand", "lab", "lab_host", "server"]
