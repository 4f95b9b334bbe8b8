"""Hosts that are enabled and up."""

from controller.scheduler.liveness import is_up
from controller.scheduler.spec import Candidate, RequestSpec


class Enabled:
    def passes(self, candidate: Candidate, spec: RequestSpec) -> bool:
        host = candidate.host
        return host.enabled and is_up(host, spec.now, spec.down_after_s)
