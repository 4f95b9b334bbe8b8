"""`novella image`: images on hosts, brought before servers need them, and checked."""

import argparse
from typing import TYPE_CHECKING

from controller.settings import load

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(commands: "Subparsers") -> None:
    """Add `image` with prefetch and check."""
    image = commands.add_parser("image", help="images on hosts: prefetch, check")
    actions = image.add_subparsers(metavar="ACTION", required=True)
    prefetch = actions.add_parser(
        "prefetch",
        help="bring an image to hosts before servers need it",
        description="Have the controller's workers bring an image to hosts, so that the first "
        "server made of it there need not wait for that: an operation image_prefetch for each "
        "host, whose ids are printed. Without --host to all that are enabled and up.",
    )
    prefetch.add_argument("image", metavar="IMAGE", help="the image's id")
    where = prefetch.add_mutually_exclusive_group()
    where.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="to this host; may be repeated"
    )
    where.add_argument("--availability-zone", metavar="ZONE", help="to the hosts of this zone")
    where.add_argument("--aggregate", metavar="NAME", help="to the hosts of this aggregate")
    prefetch.set_defaults(run=_prefetch)
    check = actions.add_parser(
        "check",
        help="find damaged base images on a host, and have them fetched anew",
        description="Have a host compare its base images with what they were made as, now. Damaged "
        "ones that no disk stands on are removed and sent again; others stay. Exit status 0 when "
        "none is left that is damaged. To be run as the controller's user.",
    )
    check.add_argument("host", metavar="HOST", help="the host's name")
    check.set_defaults(run=_check)


def _prefetch(arguments: argparse.Namespace) -> None:
    from controller.core import image_prefetch
    from controller.db.session import Database

    settings = load(arguments.config)
    with Database(settings.db_url).write() as session:
        found = image_prefetch.chosen_hosts(
            session, settings, arguments.host, arguments.availability_zone, arguments.aggregate
        )
        context = image_prefetch.own_context()
        submitted = image_prefetch.submit(session, context, arguments.image, found)
        lines = [
            f"{host.name}: operation {operation.id}"
            for operation, host in zip(submitted, found, strict=True)
        ]
    print("\n".join(lines))


def _check(arguments: argparse.Namespace) -> int:
    from controller.conductor.reconcilers import image_check
    from controller.conductor.worker import make_executor
    from controller.core import hosts
    from controller.db.session import Database

    settings = load(arguments.config)
    db = Database(settings.db_url)
    with db.read() as session:
        host = hosts.get_by_name(session, arguments.host)
    executor = make_executor(settings)
    try:
        found = image_check.check_host(settings, db, executor, host)
    finally:
        executor.close()
    for what, names in (("fetched anew", found.removed), ("in use", found.damaged)):
        for name, image_id in names.items():
            print(f"damaged, {what}: base {name} (image {image_id or 'unknown'})")
    print(found.problem or f"{host.name}: {found.checked} bases compared")
    return 1 if found.problem or found.damaged else 0
