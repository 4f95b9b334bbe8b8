"""`novella operation`: what the cloud is doing and has done, and its plays once more."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from controller.settings import load

if TYPE_CHECKING:
    # argparse gives the class of its sub-commands no public name.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

STATES = ("queued", "running", "succeeded", "failed")
DETAILS_MAX = 200


def add_commands(commands: "Subparsers") -> None:
    """Add `operation` with list, show and rerun."""
    operation = commands.add_parser(
        "operation",
        help="what the cloud is doing and has done",
        description="Operations are the units of the cloud's work: one for each action on a "
        "server, and the cloud's own. `list` finds one, `show` tells all of it, `rerun` does its "
        "play once more.",
    )
    actions = operation.add_subparsers(metavar="ACTION", required=True)
    _add_list(actions)
    _add_show(actions)
    _add_rerun(actions)


def _add_list(actions: "Subparsers") -> None:
    listing = actions.add_parser("list", help="list operations, newest first")
    listing.add_argument("--server", metavar="ID|NAME", help="of this server; an id may be cut")
    listing.add_argument("--host", metavar="NAME", help="on this host")
    listing.add_argument("--state", choices=STATES, help="in this state")
    listing.add_argument("--kind", help="of this kind, such as server_create")
    listing.add_argument("--limit", type=int, default=20, help="how many (20)")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=_list)


def _add_show(actions: "Subparsers") -> None:
    show = actions.add_parser(
        "show",
        help="all that is known of one",
        description="Who asked for what, when and where; each step with its time and result; what "
        "changed; what went wrong, in words for operators; where its artifacts are; and how to run "
        "it again by hand. Secrets are not in it.",
    )
    show.add_argument("id", metavar="ID", help="its id, or the beginning of it")
    show.add_argument("--json", action="store_true", help="as JSON")
    show.set_defaults(run=_show)


def _add_rerun(actions: "Subparsers") -> None:
    rerun = actions.add_parser(
        "rerun",
        help="run its play once more, with arguments from the database as it is now",
        description="Run the operation's play once more, on the server's present host, with "
        "arguments made afresh from the database. With --check nothing changes, and the diff says "
        "what would; try that first. Without it, only create and start of a server that is active, "
        "stop of one that is stopped, and a host's port_update are run: they bring about what the "
        "database says. Refused while an operation is at work on the server. To be run as the "
        "controller's user.",
    )
    rerun.add_argument("id", metavar="ID", help="its id, or the beginning of it")
    rerun.add_argument("--check", action="store_true", help="change nothing, show the diff")
    rerun.add_argument("--json", action="store_true", help="as JSON")
    rerun.set_defaults(run=_rerun)


def _list(arguments: argparse.Namespace) -> None:
    from controller.core import operation_records
    from controller.db.session import Database

    with Database(load(arguments.config).db_url).read() as session:
        found = operation_records.newest(
            session,
            server=arguments.server,
            host=arguments.host,
            state=arguments.state,
            kind=arguments.kind,
            limit=arguments.limit,
        )
    if arguments.json:
        print(json.dumps([_listed(*row) for row in found], indent=1))
        return
    line = "{:<36} {:<20} {:<10} {:<36} {:<12} {:<19} {:>8}"
    print(line.format("ID", "KIND", "STATE", "SERVER", "HOST", "CREATED", "SECONDS"))
    for row in found:
        each = _listed(*row)
        seconds = "-" if each["seconds"] is None else f"{each['seconds']:.1f}"
        created = each["created_at"][:19].replace("T", " ")
        print(
            line.format(
                each["id"], each["kind"], each["state"], each["server_id"] or "-",
                each["host"] or "-", created, seconds,
            )
        )  # fmt: skip
        if each["fault"]:
            print(f"    {_one_line(each['fault'])}")


def _listed(operation: Any, server: str | None, host: str | None) -> dict[str, Any]:
    ended, began = operation.finished_at, operation.created_at
    error = operation.error or {}
    return {
        "id": operation.id,
        "kind": operation.kind,
        "state": operation.state,
        "server_id": operation.server_id,
        "server": server,
        "host": host,
        "created_at": f"{began.isoformat(timespec='milliseconds')}Z",
        "seconds": round((ended - began).total_seconds(), 3) if ended else None,
        "fault": error.get("details") or error.get("message"),
    }


def _show(arguments: argparse.Namespace) -> None:
    from controller.conductor.operation_report import report
    from controller.core import operation_records
    from controller.db.session import Database

    settings = load(arguments.config)
    with Database(settings.db_url).read() as session:
        found = report(session, settings, operation_records.find(session, arguments.id))
    print(json.dumps(found, indent=1) if arguments.json else _as_text(found), end="")
    if arguments.json:
        print()


def _as_text(found: dict[str, Any]) -> str:
    rows = [
        ("operation", f"{found['id']} ({found['kind']})"),
        ("state", _state(found)),
        ("server", _named(found["server"])),
        ("host", _named(found["host"])),
        ("asked by", f"{_named(found['user'])}, project {_named(found['project'])}"),
        ("request", found["request_id"]),
        ("created", found["created_at"]),
        ("started", _with_seconds(found["started_at"], found["waited_seconds"], "waited")),
        ("finished", _with_seconds(found["finished_at"], found["seconds"], "took")),
        ("attempts", f"{found['attempts'] + 1}; claimed {found['generation']} times"),
        ("owner", found["owner"] and f"{found['owner']}, lease until {found['lease_until']}"),
        ("fault", found["fault"] and found["fault"].get("message")),
        ("  details", found["fault"] and found["fault"].get("details")),
        *(("  earlier", each) for each in found["failures"]),
        *(("not undone", each) for each in found["not_undone"]),
        ("artifacts", found["artifacts"]),
    ]
    lines = [f"{name:<12}{_one_line(text)}" for name, text in rows if text]
    lines += ["", "steps", *(_step_line(step) for step in found["steps"])]
    for run in found["runs"]:
        check = ", check mode" if run["check"] else ""
        lines += ["", f"run of {run['playbook']}: {run['status']} in {run['seconds']} s{check}"]
        lines += [f"    {run['artifacts']}"]
    if found["diff"]:
        # Line by line, so that no text of a tenant's moves the reader's cursor.
        changed = (f"    {_one_line(each)}" for each in found["diff"].splitlines())
        lines += ["", "what it changed", *changed]
    lines += ["", "again, with arguments as they are now (changes nothing):"]
    lines += [f"    novella operation rerun {found['id'][:8]} --check"]
    if found["runs"]:
        lines += ["again by hand, with arguments as they were, without secrets (changes nothing):"]
        lines += [f"    {found['runs'][-1]['again']}"]
    return "\n".join(lines) + "\n"


def _state(found: dict[str, Any]) -> str:
    words = [found["state"]]
    if found["state"] in ("queued", "running") and found["step"]:
        words.append(f"at step {found['step']}")
    if found["undoing"]:
        words.append(f"undone because: {found['undoing']}")
    if found["cancel_requested"]:
        words.append("to be cancelled")
    if found["state"] == "queued":
        words.append(f"not before {found['not_before']}")
    return ", ".join(words)


def _step_line(step: dict[str, Any]) -> str:
    seconds = "" if step["seconds"] is None else f"{step['seconds']:8.3f} s"
    began = str(step["started_at"] or "")[:23]
    line = f"    {began:<24}{seconds:>11}  {step['result']:<9} {_one_line(step['name'])}"
    if step["host"]:
        line += f" on {step['host']}"
    if step["details"]:
        line += f": {_one_line(step['details'])[:DETAILS_MAX]}"
    return line


def _named(pair: dict[str, Any]) -> str:
    if not pair["id"]:
        return ""
    return f"{pair['name']} ({pair['id']})" if pair["name"] else str(pair["id"])


def _with_seconds(moment: str | None, seconds: float | None, word: str) -> str | None:
    return f"{moment} ({word} {seconds:.3f} s)" if moment and seconds is not None else moment


def _one_line(text: object) -> str:
    from controller.logs import one_line

    return one_line(text)


def _rerun(arguments: argparse.Namespace) -> int:
    from controller.conductor.rerun import prepare, rules_again
    from controller.conductor.worker import make_executor
    from controller.core import operation_records
    from controller.db.session import Database
    from controller.runner.artifacts import diff_text
    from controller.runner.requests import OK

    settings = load(arguments.config)
    executor = make_executor(settings)
    db = Database(settings.db_url)
    with db.write() as session:
        operation = operation_records.find(session, arguments.id)
        rerun = prepare(session, settings, operation, check=arguments.check)
    try:
        result = executor.run(rerun.run)
    finally:
        executor.close()
        with db.write() as session:
            rules_again(session, rerun)
    diff = "".join(diff_text(host) for host in result.hosts.values())
    if arguments.json:
        said = {"status": result.status, "message": result.message, "host": rerun.host}
        print(json.dumps({**said, "check": arguments.check, "diff": diff}, indent=1))
    else:
        for line in diff.splitlines():
            print(_one_line(line))
        would = "would change" if arguments.check else "changed"
        nothing = "" if diff else f"; it {would} nothing"
        print(
            f"{rerun.run.playbook} on {rerun.host}: {result.status} "
            f"in {result.duration_s:.2f} s{nothing}"
        )
        if result.message:
            print(_one_line(result.message))
    return 0 if result.status == OK else 1
