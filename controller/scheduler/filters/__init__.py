"""Filters: each says of one host whether it can take one request. A file each, found by name."""

from typing import Protocol

from controller.scheduler.spec import Candidate, RequestSpec


class Filter(Protocol):
    """`settings.scheduler_filters` names the classes; `Enabled` lies in enabled.py."""

    def passes(self, candidate: Candidate, spec: RequestSpec) -> bool:
        """Return whether the host can take the request. Must not change anything."""
