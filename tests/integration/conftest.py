"""Fixtures of the tests on lab hosts; see tests/fixtures/hand_lab.py."""

from tests.fixtures.hand_lab import lab, lab_host

__all__ = ["lab", "lab_host"]
