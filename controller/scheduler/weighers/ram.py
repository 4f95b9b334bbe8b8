"""The host with most free memory."""

from controller.placement.inventories import MEMORY_MB
from controller.scheduler.spec import Candidate


class Ram:
    def weigh(self, candidate: Candidate) -> float:
        return candidate.free(MEMORY_MB)
