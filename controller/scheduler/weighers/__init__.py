"""Weighers: each says how much it likes a host that passed. A file each, found by name."""

from typing import Protocol

from controller.scheduler.spec import Candidate


class Weigher(Protocol):
    """`settings.scheduler_weighers` names the classes; `Ram` lies in ram.py."""

    def weigh(self, candidate: Candidate) -> float:
        """Return a number, larger for a better host. Only its order among the hosts counts:
        `select` brings each weigher's numbers to 0..1 before it adds them up.
        """
