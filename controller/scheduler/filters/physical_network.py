"""Hosts that have an interface into every physical network that the server's ports are on."""

from controller.scheduler.spec import Candidate, RequestSpec


class PhysicalNetwork:
    def passes(self, candidate: Candidate, spec: RequestSpec) -> bool:
        interfaces = candidate.host.variables.get("compute_flat_interfaces")
        there = interfaces.keys() if isinstance(interfaces, dict) else frozenset()
        return spec.physical_networks <= there
