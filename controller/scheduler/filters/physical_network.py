"""Hosts that get to all that the server's networks stand on: interfaces, VLANs, the overlay."""

from controller.scheduler import reach
from controller.scheduler.spec import Candidate, RequestSpec


class PhysicalNetwork:
    def passes(self, candidate: Candidate, spec: RequestSpec) -> bool:
        return not reach.missing(candidate.host, spec.segments)
