"""`novella host fenced`: what an administrator knows of a dead host."""

import argparse
from typing import TYPE_CHECKING

from controller.settings import load

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_host_commands(actions: "Subparsers") -> None:
    """Add them to the actions of `host`."""
    fenced = actions.add_parser(
        "fenced",
        help="say that a dead host runs nothing any more",
        description="Record your word that a host which counts as down is switched off, or cut "
        "off from network and storage, so that its servers may be evacuated: made anew on other "
        "hosts. A server that still ran there would run twice. It holds until the host is heard of "
        "again; then what the host has left of evacuated servers is removed before it takes new "
        "ones.",
    )
    fenced.add_argument("name", metavar="NAME", help="the host's name")
    fenced.add_argument("--by", help="who has made sure of it")
    fenced.add_argument("--reason", help="how: `switched off at the rack`")
    fenced.add_argument("--take-back", action="store_true", help="it was not; nothing is evacuated")
    fenced.set_defaults(run=_fenced)


def _fenced(arguments: argparse.Namespace) -> None:
    from controller.core import host_fences, hosts
    from controller.core.context import Context
    from controller.db.base import new_id
    from controller.db.clock import DatabaseClock
    from controller.db.session import Database

    settings = load(arguments.config)
    db = Database(settings.db_url)
    now = DatabaseClock(db)()
    with db.write() as session:
        host = hosts.get_by_name(session, arguments.name)
        if arguments.take_back:
            host_fences.take_back(session, host)
        else:
            context = Context(f"req-{new_id()}", is_admin=True)
            by, reason = arguments.by or "", arguments.reason or ""
            host_fences.record_word(settings, context, host, by, reason, now)
    word = "is not fenced" if arguments.take_back else "is fenced; its servers can be evacuated"
    print(f"host {arguments.name} {word}")
