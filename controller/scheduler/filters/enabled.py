"""Hosts that are enabled and up, and not fenced: one that is back is cleaned first."""

from controller.scheduler.liveness import is_up
from controller.scheduler.spec import Candidate, RequestSpec


class Enabled:
    def passes(self, candidate: Candidate, spec: RequestSpec) -> bool:
        host = candidate.host
        is_fenced = host.fenced_at is not None
        return host.enabled and not is_fenced and is_up(host, spec.now, spec.down_after_s)
