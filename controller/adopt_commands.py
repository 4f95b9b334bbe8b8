"""`novella host adopt`: domains on a host that the cloud does not know, and taking one over."""

import argparse
import base64
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.logs import one_line
from controller.settings import Settings, load

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from controller.conductor.host_domains import UnknownDomain
    from controller.db.models import Host, Operation
    from controller.db.session import Database

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

POLL_S = 0.2
FAILED, DIFFERS = 1, 2


def add_host_adopt(actions: "Subparsers") -> None:
    """Add adopt to the actions of `host`."""
    adopt = actions.add_parser(
        "adopt",
        help="domains on a host that the cloud does not know; take one over",
        description="List the domains on a host that the cloud does not know, or with --domain "
        "have one that was made by hand (playbooks/server_create.yml without a controller) become "
        "a server of the cloud. Its guest runs on and is not touched: what was made by hand must "
        "be what the cloud's own plays would have made, which is tried in check mode before and "
        "after. If anything differs it is shown, and all is as it was. Room on the host is not "
        "asked for, since it is taken already. The workers do it. Exit status 0 when it is a "
        "server, 2 when something differs, 1 for what is refused.",
    )
    adopt.add_argument("name", metavar="NAME", help="the host's name")
    adopt.add_argument("--domain", metavar="ID|NAME", help="take this one over")
    adopt.add_argument("--project", metavar="ID|NAME", help="whose server it is to be")
    adopt.add_argument("--user", metavar="ID|NAME", default="admin", help="who made it (admin)")
    adopt.add_argument(
        "--flavor", metavar="ID|NAME", help="its flavor; else one that fits, or one that is made"
    )
    adopt.add_argument(
        "--security-group", metavar="ID|NAME", action="append", default=[],
        help="of its ports; may be given again (the project's default one). Their rules must be "
        "those that its ports have on the host",
    )  # fmt: skip
    adopt.add_argument(
        "--user-data", metavar="FILE", type=Path, help="what its guest was made with, as it is"
    )
    adopt.add_argument("--json", action="store_true", help="as JSON")
    adopt.set_defaults(run=_adopt)


def _adopt(arguments: argparse.Namespace) -> int:
    from controller.conductor import host_domains
    from controller.conductor.worker import make_executor
    from controller.core import hosts
    from controller.db.session import Database
    from controller.queue.wake import waker

    settings = load(arguments.config)
    db = Database(settings.db_url, on_wake=waker(settings))
    with db.read() as session:
        host = hosts.get_by_name(session, arguments.name)
    executor = make_executor(settings)
    try:
        found = host_domains.unknown(settings, db, executor, host)
    finally:
        executor.close()
    if arguments.domain is None:
        _print_domains(found, as_json=arguments.json)
        return 0
    return _take_over(arguments, settings, db, host, found)


def _print_domains(found: "list[UnknownDomain]", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(each) for each in found], indent=1))
        return
    row = "{:<44} {:<8} {:>5} {:>9} {}"
    print(row.format("DOMAIN", "STATE", "VCPUS", "MEMORY_MB", "CAN BE ADOPTED"))
    for each in found:
        can = "yes" if each.plan else "no"
        print(
            row.format(one_line(each.name), one_line(each.state), each.vcpus, each.memory_mb, can)
        )
        for problem in each.problems:
            print(f"    {one_line(problem)}")


def _take_over(
    arguments: argparse.Namespace,
    settings: Settings,
    db: "Database",
    host: "Host",
    found: "list[UnknownDomain]",
) -> int:
    from controller.conductor import host_adopt
    from controller.core.adopted_servers import Wish, check_user_data
    from controller.errors import BadRequest

    plan = _plan(arguments.domain, host, found)
    if arguments.project is None:
        raise BadRequest(f"Cannot adopt domain {plan['id']}: say whose it is to be by --project.")
    user_data = None
    if arguments.user_data is not None:
        user_data = base64.b64encode(arguments.user_data.read_bytes()).decode()
    check_user_data(plan, user_data)
    with db.write() as session:
        wish = Wish(
            _project_id(session, arguments.project),
            _user_id(session, arguments.user),
            arguments.flavor,
            tuple(arguments.security_group),
        )
        operation_id = host_adopt.submit(session, settings, host, plan, wish, user_data).id
    return _report(arguments, plan["id"], _ended(settings, db, operation_id))


def _plan(domain: str, host: "Host", found: "list[UnknownDomain]") -> dict[str, Any]:
    from controller.errors import Conflict, NotFound

    wanted = next((each for each in found if domain in (each.id, each.name)), None)
    if wanted is None:
        raise NotFound(
            f"Host {host.name} has no domain {domain} that the cloud does not know. "
            f"`novella host adopt {host.name}` lists those there are."
        )
    if wanted.plan is None:
        raise Conflict(f"Cannot adopt domain {domain}: {'; '.join(wanted.problems)}.")
    return wanted.plan


def _project_id(session: "Session", wanted: str) -> str:
    from controller.core import projects

    found = {each.id for each in projects.list_projects(session) if wanted in (each.id, each.name)}
    return _only(found, "project", wanted)


def _user_id(session: "Session", wanted: str) -> str:
    from controller.core import users

    found = {each.id for each in users.list_users(session) if wanted in (each.id, each.name)}
    return _only(found, "user", wanted)


def _only(found: set[str], what: str, wanted: str) -> str:
    from controller.errors import NotFound

    if len(found) != 1:
        many = "several go by it: give the id" if found else "list those there are"
        raise NotFound(f"There is no one {what} {wanted}; {many}.")
    return found.pop()


def _ended(settings: Settings, db: "Database", operation_id: str) -> "Operation":
    from controller.core.operations import UNFINISHED
    from controller.db.models import Operation
    from controller.errors import Unavailable

    # Four plays at most, each tried a few times.
    deadline = time.monotonic() + 4 * settings.run_timeout_s
    while time.monotonic() < deadline:
        with db.read() as session:
            operation = session.get_one(Operation, operation_id)
        if operation.state not in UNFINISHED:
            return operation
        time.sleep(POLL_S)
    raise Unavailable(
        f"Operation {operation_id} has not ended in time; is a worker running? It goes on by "
        f"itself: `novella operation show {operation_id}`."
    )


def _report(arguments: argparse.Namespace, domain_id: str, operation: "Operation") -> int:
    error = operation.error or {}
    differs = str(operation.data.get("differs") or "")
    adopted = operation.state == "succeeded"
    had_room = bool(operation.data.get("had_room", True))
    if arguments.json:
        said = {"operation": operation.id, "domain": domain_id, "adopted": adopted}
        said |= {"had_room": had_room, "differs": differs, "message": error.get("message", "")}
        print(json.dumps(said, indent=1))
    elif adopted:
        print(f"domain {domain_id} is server {domain_id} of this cloud; its guest was not touched")
        if not had_room:
            print(
                f"host {arguments.name} has less room than its servers take now: nothing new goes "
                "there. Move some away (`novella host drain`, live migration), or leave it so."
            )
    else:
        print(one_line(str(error.get("message") or "it failed")))
        for line in differs.splitlines():
            print(f"  {one_line(line)}")
        if not differs:
            print(f"  {one_line(str(error.get('details') or ''))}")
    return 0 if adopted else DIFFERS if differs else FAILED
