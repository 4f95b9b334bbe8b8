"""`make bench`: the figures of the parts that are asked for, each on clouds of its own."""

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import actions, creates, dispatch, lists, load, memory, networks
from bench.report import Report
from lab import contents
from lab.cloud import Cloud
from lab.demo import HOSTS, IMAGE_CACHE
from lab.guest_image import ensure_image

LAB_NAME = "bench"


PARTS = ("controller", "load", "actions", "networks")


def main() -> int:
    """Measure each part, write bench/results/<part>.{json,md}, and take everything down."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="single creates (10)")
    parser.add_argument("--batches", type=int, default=5, help="rounds of ten at once (5)")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (all)")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    # As by Ctrl-C: what was made is taken down.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    # Not /tmp: the hosts' disks are too large for a tmpfs.
    directory = Path(tempfile.mkdtemp(prefix="novella-bench-", dir="/var/tmp"))
    try:
        for part in arguments.parts or PARTS:
            measure = MEASURES[part]
            measure(directory / part, arguments)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _load(directory: Path, _arguments: argparse.Namespace) -> None:
    """The controller on simulated hosts, under load."""
    directory.mkdir()
    report = Report("load")
    blank = creates.blank_image(directory)
    load.measure(directory, report, secrets.token_urlsafe(12), blank)
    print(f"written: {report.write()}")


def _networks(directory: Path, arguments: argparse.Namespace) -> None:
    """Networks: the database, the controller on simulated hosts, then two hosts of a lab."""
    directory.mkdir()
    image = IMAGE_CACHE.absolute()
    ensure_image(image)
    cloud = Cloud(directory / "cloud")
    report = Report("networks")
    password = secrets.token_urlsafe(12)
    blank = creates.blank_image(directory)
    try:
        networks.measure_controller(directory, report, password, blank, arguments.rounds)
        _set_up(cloud, password)
        networks.measure_hosts(cloud, directory, report, image, blank, arguments.rounds)
        print(f"written: {report.write()}")
    finally:
        cloud.destroy()


def _controller(directory: Path, arguments: argparse.Namespace) -> None:
    """The controller on two hosts of a lab: memory, creates against the floor, lists."""
    directory.mkdir()
    cloud = Cloud(directory / "cloud")
    report = Report("controller")
    password = secrets.token_urlsafe(12)
    try:
        _set_up(cloud, password)
        time.sleep(20)  # idle means idle: what enrolment started has ended by then
        memory.measure(cloud, report)
        blank = creates.blank_image(directory)
        creates.measure(cloud, report, blank, arguments.rounds, arguments.batches)
        dispatch.measure(cloud, report, max(5, arguments.batches))
        lists.measure(directory / "lists", report, password)
        print(f"written: {report.write()}")
    finally:
        cloud.destroy()


def _actions(directory: Path, arguments: argparse.Namespace) -> None:
    """Each action of a server on two hosts of a lab, against bare commands."""
    directory.mkdir()
    cloud = Cloud(directory / "cloud")
    report = Report("actions")
    try:
        _set_up(cloud, secrets.token_urlsafe(12))
        blank = creates.blank_image(directory)
        actions.measure(cloud, report, blank, arguments.rounds)
        print(f"written: {report.write()}")
    finally:
        cloud.destroy()


def _set_up(cloud: Cloud, password: str) -> None:
    # Room for fifty guests on two hosts of two CPUs.
    cloud.configure(cpu_allocation_ratio=32)
    cloud.start_lab(HOSTS, name=LAB_NAME)
    cloud.prepare_database(password)
    contents.write_clouds_yaml(cloud, {"novella": contents.Login("admin", password, "admin")})
    cloud.start_controller()
    for name in HOSTS:
        cloud.enroll(name)
    admin = contents.connect(cloud)
    contents.make_flavors(admin)
    contents.make_public_network(admin, cloud)


MEASURES = {
    "controller": _controller,
    "load": _load,
    "actions": _actions,
    "networks": _networks,
}


if __name__ == "__main__":
    sys.exit(main())
