"""What issue 5 asks to be measured, with what each figure is held against in the same run."""

from pathlib import Path

from bench.networks import addresses, guests, large_group, overlay, ports, rules, simulated
from bench.report import Report
from lab.cloud import Cloud

# Addresses are given in no time: so many for each round.
ADDRESSES = 20


def measure_controller(
    directory: Path, report: Report, password: str, blank: Path, rounds: int
) -> None:
    """Add what no host takes part in: the database's, and the controller's on simulated hosts."""
    addresses.measure(directory / "addresses", report, rounds * ADDRESSES)
    simulated.measure(directory / "simulated", report, password, blank, rounds)


def measure_hosts(
    cloud: Cloud, directory: Path, report: Report, image: Path, blank: Path, rounds: int
) -> None:
    """Add what two lab hosts do. `cloud` has them, with an admin called novella; `image` boots."""
    world = guests.World(cloud, directory, image)
    ports.measure(world, report, rounds)
    rules.measure(world, report, rounds)
    overlay.measure_second_host(world, blank, report, rounds)
    overlay.measure(world, report, rounds)
    # Last, for its rules stay.
    large_group.measure(cloud, report, rounds)
