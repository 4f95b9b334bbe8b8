"""The host with most free disk."""

from controller.placement.inventories import DISK_GB
from controller.scheduler.spec import Candidate


class Disk:
    def weigh(self, candidate: Candidate) -> float:
        return candidate.free(DISK_GB)
