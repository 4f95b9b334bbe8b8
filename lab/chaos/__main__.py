"""Make a cloud of two lab hosts, stir it, and write the report: `python -m lab.chaos`."""

import argparse
import hashlib
import random
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import contents, hosts
from lab.chaos.api import Credentials
from lab.chaos.backing import DATABASES, QUEUES, Backing, backing
from lab.chaos.run import Plan, run
from lab.cloud import Cloud
from lab.errors import LabError
from lab.progress import step

HOSTS = ("h1", "h2")
# Small, so that filling it takes a moment.
DISK_LIMIT_MB = {"h2": 192}
BLANK_MB = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run chaos; return 0 when nothing was lost and all agree."""
    parser = argparse.ArgumentParser(prog="python -m lab.chaos", description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("var/chaos"), help="where all of it lies")
    parser.add_argument("--operations", type=int, default=Plan().operations)
    parser.add_argument("--kills", type=int, default=Plan().kills)
    parser.add_argument("--actors", type=int, default=Plan().actors, help="who ask side by side")
    parser.add_argument(
        "--minutes", type=float, default=Plan().limit_s / 60, help="after these nothing is asked"
    )
    parser.add_argument("--seed", type=int, default=None, help="of the dice (made up and printed)")
    parser.add_argument("--database", choices=DATABASES, default=DATABASES[0])
    parser.add_argument("--queue", choices=QUEUES, default=QUEUES[0])
    parser.add_argument(
        "--keep",
        action="store_true",
        help="leave the cloud up, to look at it (its database server and broker end all the same)",
    )
    arguments = parser.parse_args(argv)
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 20)  # noqa: S311
    print(f"chaos: seed {seed}", flush=True)
    cloud = Cloud(arguments.dir / "cloud")
    plan = Plan(
        operations=arguments.operations, kills=arguments.kills, seed=seed,
        actors=arguments.actors, limit_s=60 * arguments.minutes,
    )  # fmt: skip
    try:
        with backing(arguments.database, arguments.queue) as servers:
            try:
                credentials, create = set_up(cloud, servers)
                report = run(cloud, credentials, create, plan, servers)
            finally:
                # While its database is there: it ends in peace.
                if not arguments.keep:
                    cloud.destroy()
    except LabError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1
    report.write(arguments.dir)
    print(report.as_text(), end="")
    return 0 if report.passed else 1


def set_up(cloud: Cloud, servers: Backing) -> tuple[Credentials, dict[str, Any]]:
    """Make the cloud anew; return its administrator and the body of a create."""
    name = "c" + hashlib.sha256(str(cloud.directory.absolute()).encode()).hexdigest()[:5]
    cloud.stop_controller(kill=True)
    hosts.down(cloud.lab_dir, name=name, purge=True)
    shutil.rmtree(cloud.directory, ignore_errors=True)
    password = secrets.token_urlsafe(12)
    with step("make a cloud of two hosts"):
        # One of its own, for SSH connections are found by it; short, for their sockets lie there.
        cloud.configure(
            lease_s=10, heartbeat_s=10, retry_backoff_s=2, runs_dir=f"/dev/shm/{name}",  # noqa: S108 -- made 0700 by the runner
            **servers.settings(),
        )  # fmt: skip
        cloud.start_lab(HOSTS, name=name, disk_limit_mb=DISK_LIMIT_MB)
        cloud.prepare_database(password)
        login = contents.Login("admin", password, "admin")
        contents.write_clouds_yaml(cloud, {"admin": login})
        cloud.start_controller()
        for host in HOSTS:
            cloud.enroll(host)
        create = blank_server(cloud, "admin")
    return Credentials(login.username, login.password, login.project), create


def blank_server(cloud: Cloud, login: str) -> dict[str, Any]:
    """Make what servers that load no CPU are made of, and return the body of a create.

    Their disk is blank, so they sit in their firmware; no ACPI answers there, so the image says
    that a guest is given a second to shut down.
    """
    admin = contents.connect(cloud, login)
    try:
        blank = cloud.directory / "blank.raw"
        blank.write_bytes(bytes(BLANK_MB << 20))
        image = admin.image.find_image("blank", ignore_missing=True)
        if image is None:
            with blank.open("rb") as data:
                image = admin.image.create_image(
                    name="blank", data=data, disk_format="raw", container_format="bare",
                    visibility="public", wait=True, os_shutdown_timeout="1",
                )  # fmt: skip
        flavor = admin.compute.find_flavor("c1.blank", ignore_missing=True)
        flavor = flavor or admin.compute.create_flavor(name="c1.blank", vcpus=1, ram=64, disk=0)
        network = contents.make_public_network(admin, cloud)
        return {"imageRef": image.id, "flavorRef": flavor.id, "networks": [{"uuid": network.id}]}
    finally:
        admin.close()


if __name__ == "__main__":
    sys.exit(main())
