"""`novella host drain`, `undrain` and `fenced`: hosts that are emptied, and dead ones."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from controller.logs import one_line
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
    _add_drain(actions)


def _add_drain(actions: "Subparsers") -> None:
    drain = actions.add_parser(
        "drain",
        help="move all servers off a host",
        description="Disable the host and move its servers to others, a few at a time: live where "
        "that can be, cold else, and confirmed. The workers do it: it goes on when this command "
        "has ended, and after a restart. What can't be moved stays, with the reason; `drain` again "
        "takes it up anew. Exit status 0 when it is begun, or as asked for.",
    )
    drain.add_argument("name", metavar="NAME", help="the host's name")
    what = drain.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="only show what it would do")
    what.add_argument("--status", action="store_true", help="how far it is")
    what.add_argument(
        "--cancel", action="store_true", help="begin no more moves; it stays disabled"
    )
    drain.add_argument("--reason", help="shown in `host list` and in the API")
    drain.set_defaults(run=_drain)
    undrain = actions.add_parser(
        "undrain",
        help="put a drained host back",
        description="Have the host take new servers again, if it did before it was drained. A "
        "drain under way ends. Servers do not come back by themselves.",
    )
    undrain.add_argument("name", metavar="NAME", help="the host's name")
    undrain.set_defaults(run=_undrain)


def _drain(arguments: argparse.Namespace) -> None:
    from controller.core import host_drains, hosts
    from controller.core.context import Context
    from controller.db.base import new_id
    from controller.db.clock import DatabaseClock
    from controller.db.session import Database
    from controller.queue.wake import waker

    settings = load(arguments.config)
    db = Database(settings.db_url, on_wake=waker(settings))
    now = DatabaseClock(db)()
    with db.write() as session:
        host = hosts.get_by_name(session, arguments.name)
        if arguments.plan:
            planned = host_drains.plan(session, settings, host, now)
            _print_servers({each.server_id: each.as_entry() for each in planned})
            return
        if arguments.status:
            drain = host_drains.get(session, host)
        elif arguments.cancel:
            drain = host_drains.cancel(session, host, now)
        else:
            context = Context(f"req-{new_id()}", is_admin=True)
            drain = host_drains.begin(session, settings, context, host, arguments.reason, now)
        _print_servers(drain.servers)
        print(f"the drain of host {host.name} is {drain.state}")


def _print_servers(servers: Mapping[str, Any]) -> None:
    row = "{:<36} {:<20} {:<8} {:<8} {:<16} {}"
    print(row.format("SERVER", "NAME", "HOW", "STATUS", "DESTINATION", "WHY"))
    for server_id, entry in servers.items():
        words = [entry.get(name) or "" for name in ("name", "how", "status", "destination", "why")]
        print(row.format(server_id, *map(one_line, words)).rstrip())


def _undrain(arguments: argparse.Namespace) -> None:
    from controller.core import host_drains, hosts
    from controller.db.clock import DatabaseClock
    from controller.db.session import Database

    db = Database(load(arguments.config).db_url)
    now = DatabaseClock(db)()
    with db.write() as session:
        host = hosts.get_by_name(session, arguments.name)
        host_drains.undrain(session, host, now)
        enabled = host.enabled
    word = "takes new servers again" if enabled else "is disabled, as it was before"
    print(f"host {arguments.name} {word}")


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
