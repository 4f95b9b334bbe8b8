"""Hosts of the availability zone that was asked for; without one, any."""

from controller.scheduler.spec import Candidate, RequestSpec


class AvailabilityZone:
    def passes(self, candidate: Candidate, spec: RequestSpec) -> bool:
        return spec.availability_zone in (None, candidate.host.availability_zone)
