"""The host with most free processors."""

from controller.placement.inventories import VCPU
from controller.scheduler.spec import Candidate


class Cpu:
    def weigh(self, candidate: Candidate) -> float:
        return candidate.free(VCPU)
