"""The one host that an admin named, if one was named."""

from controller.scheduler.spec import Candidate, RequestSpec


class ForcedHost:
    def passes(self, candidate: Candidate, spec: RequestSpec) -> bool:
        return spec.forced_host in (None, candidate.host.name)
