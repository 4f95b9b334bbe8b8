"""`novella server check` and `novella host check`: where hosts differ from the database."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from controller.settings import Settings, load

if TYPE_CHECKING:
    from controller.conductor.drift import Drift, ServerDrift
    from controller.db.models import Host
    from controller.db.session import Database

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = (
    "Run the play that brings a host to what the database says in check mode, and show what it "
    "would change: definition, disks, ports, rules, DHCP, metadata. Changes nothing; safe on a "
    "live cloud. With --fix it is run for real for each server that differs, by the controller's "
    "workers: no guest is restarted, and what needs a restart is said. Exit status 0 when nothing "
    "differs, or all of it was put right. To be run as the controller's user."
)


def add_commands(commands: "Subparsers") -> None:
    """Add `server` with check."""
    server = commands.add_parser("server", help="servers on their hosts: check")
    actions = server.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser(
        "check", help="where its host differs from the database", description=DESCRIPTION
    )
    check.add_argument("id", metavar="ID", help="the server's id")
    _add_options(check)
    check.set_defaults(run=_check_server)


def add_host_check(actions: "Subparsers") -> None:
    """Add check to the actions of `host`."""
    check = actions.add_parser(
        "check", help="where a host differs from the database", description=DESCRIPTION
    )
    check.add_argument("name", metavar="NAME", help="the host's name")
    _add_options(check)
    check.set_defaults(run=_check_host)


def _add_options(check: argparse.ArgumentParser) -> None:
    check.add_argument(
        "--fix", action="store_true", help="put right what differs, without restarts"
    )
    check.add_argument("--json", action="store_true", help="as JSON")


def _check_server(arguments: argparse.Namespace) -> int:
    from controller.core import hosts
    from controller.db.models import Server
    from controller.db.session import Database
    from controller.errors import NotFound

    settings = load(arguments.config)
    db = Database(settings.db_url)
    with db.read() as session:
        server = session.get(Server, arguments.id)
        if server is None or server.deleted_at is not None or server.host_id is None:
            raise NotFound(f"There is no server {arguments.id} on a host.")
        host = hosts.get(session, server.host_id)
    return _check(arguments, settings, db, host, [arguments.id])


def _check_host(arguments: argparse.Namespace) -> int:
    from controller.core import hosts
    from controller.db.session import Database

    settings = load(arguments.config)
    db = Database(settings.db_url)
    with db.read() as session:
        host = hosts.get_by_name(session, arguments.name)
    return _check(arguments, settings, db, host, None)


def _check(
    arguments: argparse.Namespace,
    settings: Settings,
    db: "Database",
    host: "Host",
    server_ids: list[str] | None,
) -> int:
    from controller.conductor import drift
    from controller.conductor.worker import make_executor

    executor = make_executor(settings)
    try:
        found = drift.check(settings, db, executor, host, server_ids)
        fixable = [each for each in found.found if each.fixable]
        failed: dict[str, str] = {}
        if arguments.fix and fixable:
            failed = drift.fix(settings, db, fixable)
            left = drift.check(
                settings, db, executor, host, [each.server_id for each in found.found]
            )
        else:
            left = found
    finally:
        executor.close()
    if arguments.json:
        print(json.dumps(_as_json(found, left, failed, arguments.fix), indent=1))
    else:
        _print(found, left, failed, arguments.fix)
    return 0 if left.clean and not failed else 1


def _print(found: "Drift", left: "Drift", failed: dict[str, str], fix: bool) -> None:
    for each in found.found:
        _print_server(each)
    for server_id, why in sorted(found.skipped.items()):
        print(f"server {server_id} was not compared: {_one_line(why)}")
    for server_id, why in sorted(failed.items()):
        print(f"server {server_id} could not be put right: {_one_line(why)}")
    if found.problem:
        print(_one_line(found.problem))
    print(
        f"{found.host}: {found.checked} servers compared in {found.seconds:.1f} s, "
        f"{len(found.found)} differ" + (f", {len(left.found)} after the fix" if fix else "")
    )


def _print_server(each: "ServerDrift") -> None:
    print(f"server {each.server_id} ({_one_line(each.name)}) differs:")
    for line in each.diff.splitlines():
        print(f"  {_one_line(line)}")
    if each.failed:
        print(f"  could not be compared to the end: {_one_line(each.failed)}")
    if each.power:
        print(f"  {_one_line(each.power)}: the next heartbeat settles that (power_sync)")
    if each.restart:
        print("  needs a hard reboot, since its guest runs with what it was started with:")
        for line in each.restart:
            print(f"    {_one_line(line)}")


def _as_json(found: "Drift", left: "Drift", failed: dict[str, str], fix: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "host": found.host,
        "compared": found.checked,
        "seconds": round(found.seconds, 3),
        "skipped": found.skipped,
        "problem": found.problem,
        "differ": [_server_as_json(each) for each in found.found],
    }
    if fix:
        said |= {"failed": failed, "left": [_server_as_json(each) for each in left.found]}
    return said


def _server_as_json(each: "ServerDrift") -> dict[str, Any]:
    return {
        "server": each.server_id,
        "name": each.name,
        "diff": each.diff,
        "needs_restart": list(each.restart),
        "power": each.power,
        "failed": each.failed,
    }


def _one_line(text: object) -> str:
    from controller.logs import one_line

    return one_line(text)
