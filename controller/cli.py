"""`novella`: the controller's commands.

Each imports what it needs when it runs, so that none is slow to start.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from controller.adopt_commands import add_host_adopt
from controller.drift_commands import add_commands as add_drift_commands
from controller.drift_commands import add_host_check
from controller.errors import NovellaError
from controller.host_commands import add_host_commands
from controller.image_commands import add_commands as add_image_commands
from controller.operation_commands import add_commands as add_operation_commands
from controller.settings import Settings, load
from lab.errors import LabError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status. Refusals are one line on standard error."""
    # No name is kept for the parser, which processes would carry along for as long as they live.
    arguments = build_parser().parse_args(argv)
    try:
        _set_up_logs(arguments)
        status: int | None = arguments.run(arguments)
    except (NovellaError, LabError) as error:
        print(f"novella: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not _is_of_database(error):
            raise
        from controller.db.failures import said

        print(
            f"novella: the database is away, or too busy: {said(error)}. Look whether it runs and "
            "what the setting `database_url` says, then try again.",
            file=sys.stderr,
        )
        return 1
    return status or 0


def _is_of_database(error: Exception) -> bool:
    """Whether the database did not answer. Commands without one import nothing for it."""
    if "sqlalchemy" not in sys.modules:
        return False
    from controller.db.failures import is_away

    return is_away(error)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="novella",
        description="Run and look after a Novella cloud. Settings come from the file named by "
        "--config or $NOVELLA_CONFIG, else /etc/novella/novella.toml.",
    )
    parser.add_argument("--config", type=Path, help="settings file (TOML)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_processes(commands)
    _add_db(commands)
    _add_host(commands)
    add_operation_commands(commands)
    add_drift_commands(commands)
    add_image_commands(commands)
    _add_audit(commands)
    _add_reaping(commands)
    _add_lab(commands)
    return parser


def _set_up_logs(arguments: argparse.Namespace) -> None:
    """Have processes log as the settings say; commands, whose reader is a person, in text."""
    from controller import logs

    if not getattr(arguments, "is_process", False):
        logs.set_up("text", "debug" if arguments.verbose else "info")
        return
    settings = _settings(arguments)
    logs.set_up(settings.log_format, "debug" if arguments.verbose else settings.log_level)


def _settings(arguments: argparse.Namespace) -> Settings:
    return load(arguments.config)


# --- processes ---------------------------------------------------------------------------------


def _add_processes(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="run the whole controller: API, worker and fork server",
        description="Start the API, a worker and the fork server as processes of their own, and "
        "start each again when it ends. SIGTERM stops them after what they have in hand. The fork "
        "server has Ansible loaded and forks for each run, which saves most of a run's start; "
        "without it (`fork_server = false`, or while it is away) runs are plain ansible-playbook.",
    )
    serve.set_defaults(run=_serve, is_process=True)
    api = commands.add_parser(
        "api", help="run the API alone", description="Run the API (gunicorn)."
    )
    api.set_defaults(run=_api, is_process=True)
    worker = commands.add_parser(
        "worker",
        help="run a worker alone",
        description="Run a worker: it claims operations and runs their playbooks.",
    )
    worker.add_argument(
        "--name", default="worker", help="of this worker, unique on this machine (worker)"
    )
    worker.set_defaults(run=_worker, is_process=True)
    fork_server = commands.add_parser(
        "fork-server",
        help="run the fork server alone",
        description="Run the fork server: it has Ansible loaded, and forks for each run of the "
        "workers on this machine that have the same settings. It may be stopped and started at any "
        "time: runs under way go on, and others are plain ansible-playbook meanwhile. It starts "
        "itself anew when Ansible, ansible.cfg or a plugin changes.",
    )
    fork_server.set_defaults(run=_fork_server, is_process=True)


def _serve(arguments: argparse.Namespace) -> int:
    from controller.supervision import supervise

    config = ["--config", str(arguments.config)] if arguments.config else []
    verbose = ["--verbose"] if arguments.verbose else []
    command = [sys.executable, "-m", "controller.cli", *config, *verbose]
    settings = _settings(arguments)
    names = ["api", "worker"]
    if settings.fork_server and settings.executor == "ansible":
        names.append("fork-server")
    return supervise({name: [*command, name] for name in names}, settings.run_dir)


def _api(arguments: argparse.Namespace) -> int:
    from controller.server import serve_api

    serve_api(_settings(arguments))
    return 0


def _worker(arguments: argparse.Namespace) -> int:
    from controller.conductor.worker import main as run_worker

    run_worker(_settings(arguments), name=arguments.name)
    return 0


def _fork_server(arguments: argparse.Namespace) -> int:
    from controller.runner.warm import launch, server

    settings = _settings(arguments)
    common = launch.environment(settings)
    if not sys.flags.isolated:
        # Python itself must not have been started with anything that a run is started without.
        words = ["--config", str(arguments.config)] if arguments.config else []
        words += ["--verbose"] if arguments.verbose else []
        program = [sys.executable, "-I", "-m", "controller.cli", *words, "fork-server"]
        os.execve(sys.executable, program, {**common, **_named_config()})  # noqa: S606 -- ourselves
    return server.run(launch.address(settings), common, settings.project_dir, settings.metrics_dir)


def _named_config() -> dict[str, str]:
    return {name: os.environ[name] for name in ("NOVELLA_CONFIG",) if name in os.environ}


# --- database ----------------------------------------------------------------------------------


def _add_db(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    database = commands.add_parser("db", help="the database: upgrade, bootstrap, restored")
    actions = database.add_subparsers(metavar="ACTION", required=True)
    upgrade = actions.add_parser(
        "upgrade",
        help="bring the schema to this release",
        description="Create or migrate the database of the settings, and make missing keys. "
        "Safe to run again.",
    )
    upgrade.set_defaults(run=_db_upgrade)
    bootstrap = actions.add_parser(
        "bootstrap",
        help="make the first project, roles and administrator",
        description="Make the default domain, the roles admin, member and reader, the project "
        "'admin' and the user 'admin'. The password comes from $NOVELLA_ADMIN_PASSWORD, else it is "
        "asked for, else (no terminal) made up and printed once. Safe to run again.",
    )
    bootstrap.set_defaults(run=_db_bootstrap)
    restored = actions.add_parser(
        "restored",
        help="make a database restored from a backup fit for use",
        description="To be run once after restoring a backup, before the controller starts. Hosts "
        "then let its runs in, and reaping is off until `novella reaping on`.",
    )
    restored.set_defaults(run=_db_restored)


def _db_restored(arguments: argparse.Namespace) -> None:
    from controller.core.reaping import note_restored
    from controller.db.session import Database

    with Database(_settings(arguments).db_url).write() as session:
        note_restored(session)
    print("the database is fit for use; reaping is off until `novella reaping on`")


def _db_upgrade(arguments: argparse.Namespace) -> None:
    from controller.db.connections import shown
    from controller.db.migrate import upgrade

    settings = _settings(arguments)
    upgrade(settings)
    print(f"database: {shown(settings.db_url)} is up to date")


def _db_bootstrap(arguments: argparse.Namespace) -> None:
    from controller.core.bootstrap import bootstrap
    from controller.db.session import Database

    settings = _settings(arguments)
    password, made_up = _admin_password()
    bootstrap(settings, Database(settings.db_url), password)
    print(
        "user 'admin' of project 'admin' is there" + (f"; password: {password}" if made_up else "")
    )


def _admin_password() -> tuple[str, bool]:
    """Return the administrator's password, and whether it was made up here."""
    given = os.environ.get("NOVELLA_ADMIN_PASSWORD")
    if given:
        return given, False
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass("Password for user admin: "), False
    import secrets

    return secrets.token_urlsafe(16), True


# --- hosts -------------------------------------------------------------------------------------


def _add_host(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    host = commands.add_parser("host", help="the hosts that run servers: enroll, list ...")
    actions = host.add_subparsers(metavar="ACTION", required=True)
    enroll = actions.add_parser(
        "enroll",
        help="add a host",
        description="Pin the host's SSH keys, run playbooks/host_enroll.yml on it with your own "
        "SSH access, and record what it has. Run it again to refresh a host.",
    )
    enroll.add_argument("name", help="the host's name in the cloud")
    enroll.add_argument("address", help="where it answers SSH: a name or an IP address")
    enroll.add_argument("--port", type=int, default=22, help="of its SSH server (22)")
    enroll.add_argument("--user", default="root", help="whom to log in as (root)")
    enroll.add_argument(
        "--private-key", type=Path, help="your SSH key for the first log-in (default: ssh's own)"
    )
    enroll.add_argument(
        "--fingerprint", help="refuse the host unless a key of its has this SHA256:... fingerprint"
    )
    enroll.add_argument("--availability-zone", help="the zone it belongs to")
    enroll.add_argument(
        "--variable", action="append", default=[], metavar="NAME=JSON",
        help="a variable for its plays, e.g. compute_flat_interfaces='{\"physnet1\": \"eth1\"}'",
    )  # fmt: skip
    enroll.add_argument(
        "--only-variables", action="store_true",
        help="forget the variables that it was given before, also if none is given now",
    )  # fmt: skip
    enroll.set_defaults(run=_host_enroll)
    listing = actions.add_parser("list", help="list the hosts and what they have")
    listing.add_argument(
        "--json", action="store_true", help="all that is known of them, for programs"
    )
    listing.set_defaults(run=_host_list)
    for verb, enabled in (("enable", True), ("disable", False)):
        toggle = actions.add_parser(verb, help=f"{verb} a host for new servers")
        toggle.add_argument("name")
        if not enabled:
            toggle.add_argument("--reason", default="", help="shown in `host list` and in the API")
        toggle.set_defaults(run=_host_toggle, enabled=enabled)

    add_host_check(actions)
    add_host_commands(actions)
    add_host_adopt(actions)
    remove = actions.add_parser(
        "remove",
        help="forget a host without servers",
        description="Forget a host. Nothing is changed on it: what enrolment installed stays, and "
        "the controller's key stays in its authorized_keys until you take it out.",
    )
    remove.add_argument("name")
    remove.set_defaults(run=_host_remove)


def _host_remove(arguments: argparse.Namespace) -> None:
    from controller.core.hosts import get_by_name, remove
    from controller.db.session import Database

    with Database(_settings(arguments).db_url).write() as session:
        remove(session, get_by_name(session, arguments.name))
    print(f"host {arguments.name} is removed")


def _host_enroll(arguments: argparse.Namespace) -> None:
    import json

    from controller.conductor.host_enroll import enroll
    from controller.db.session import Database
    from controller.errors import BadRequest

    settings = _settings(arguments)
    variables = {}
    for pair in arguments.variable:
        name, _, text = pair.partition("=")
        try:
            variables[name] = json.loads(text)
        except ValueError as error:
            raise BadRequest(
                f"--variable {pair}: the value is not JSON ({error}). Write text in double quotes."
            ) from error
    host = enroll(
        settings,
        Database(settings.db_url),
        arguments.name,
        arguments.address,
        ssh_port=arguments.port,
        ssh_user=arguments.user,
        private_key=arguments.private_key,
        fingerprint=arguments.fingerprint,
        availability_zone=arguments.availability_zone,
        variables=variables if variables or arguments.only_variables else None,
    )
    print(f"host {host.name} is enrolled")


def _host_list(arguments: argparse.Namespace) -> None:
    from controller.core.hosts import is_up, list_hosts
    from controller.db.clock import DatabaseClock
    from controller.db.session import Database

    settings = _settings(arguments)
    if arguments.json:
        _print_hosts_as_json(settings)
        return
    row = "{:<16} {:<22} {:<9} {:<6} {:>6} {:>10} {:>8}  {}"
    print(
        row.format("NAME", "ADDRESS", "ENABLED", "STATE", "VCPUS", "MEMORY_MB", "DISK_GB", "ZONE")
    )
    db = Database(settings.db_url)
    now = DatabaseClock(db)()
    with db.read() as session:
        for host in list_hosts(session):
            facts = host.facts
            print(
                row.format(
                    host.name,
                    f"{host.address}:{host.ssh_port}",
                    "yes" if host.enabled else "no",
                    "up" if is_up(host, settings, now) else "down",
                    facts.get("cpus", "?"),
                    facts.get("memory_mb", "?"),
                    facts.get("disk_gb", "?"),
                    host.availability_zone,
                )
            )
            if host.disabled_reason:
                print(f"    disabled: {host.disabled_reason}")


def _print_hosts_as_json(settings: Settings) -> None:
    """Print a list; playbooks/site.yml compares it with the inventory."""
    import json

    from controller.conductor.host_enroll import fingerprint_of
    from controller.core.hosts import is_up, list_hosts
    from controller.db.clock import DatabaseClock
    from controller.db.session import Database

    db = Database(settings.db_url)
    now = DatabaseClock(db)()
    with db.read() as session:
        known = [
            {
                "name": host.name,
                "address": host.address,
                "port": host.ssh_port,
                "user": host.ssh_user,
                "fingerprints": [fingerprint_of(key) for key in host.host_keys],
                "variables": host.variables,
                "availability_zone": host.availability_zone,
                "enabled": host.enabled,
                "disabled_reason": host.disabled_reason,
                "state": "up" if is_up(host, settings, now) else "down",
                # False while no enrolment of it has come to its end.
                "enrolled": host.last_seen_at is not None,
                "facts": host.facts,
            }
            for host in list_hosts(session)
        ]
    print(json.dumps(known, indent=1))


def _host_toggle(arguments: argparse.Namespace) -> None:
    from controller.core.hosts import get_by_name
    from controller.db.session import Database

    with Database(_settings(arguments).db_url).write() as session:
        host = get_by_name(session, arguments.name)
        host.enabled = arguments.enabled
        host.disabled_reason = None if arguments.enabled else (arguments.reason or None)
    print(f"host {arguments.name} is {'enabled' if arguments.enabled else 'disabled'}")


# --- audit -------------------------------------------------------------------------------------


def _add_audit(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    audit = commands.add_parser(
        "audit",
        help="compare database, placement, image store and hosts",
        description="Say where database, placement, image store, artifacts and hosts disagree, why "
        "it matters and the way out. Changes nothing; safe on a live cloud. Exit status 0 when all "
        "agree, 1 when not.",
    )
    audit.add_argument("--json", action="store_true", help="print JSON")
    audit.add_argument("--host", metavar="NAME", help="only what is on this host")
    audit.set_defaults(run=_audit)


def _add_reaping(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    reaping = commands.add_parser(
        "reaping",
        help="whether leftovers of deleted servers are removed from hosts",
        description="Say whether reaping is on, or switch it. It switches itself off on a host "
        "that has seen newer runs than the database knows, and on those that can't be asked then.",
    )
    reaping.add_argument("to", nargs="?", choices=("on", "off"), help="switch it, on all hosts")
    reaping.add_argument("--host", metavar="NAME", help="on this host alone")
    reaping.set_defaults(run=_reaping)


def _reaping(arguments: argparse.Namespace) -> None:
    from controller.core import hosts, reaping
    from controller.db.session import Database

    by_hand = "an operator switched it off"
    with Database(_settings(arguments).db_url).write() as session:
        host = hosts.get_by_name(session, arguments.host) if arguments.host else None
        if arguments.to == "on" and host:
            host.reaping_off = None
        elif arguments.to == "on":
            reaping.switch_on(session)
        elif arguments.to == "off" and host:
            reaping.switch_off_on(host, by_hand)
        elif arguments.to == "off":
            reaping.switch_off(session, by_hand)
        session.flush()
        why, where = reaping.why_off(session), reaping.hosts_off(session)
    print("reaping is on" if why is None else f"reaping is off: {why}")
    for name, reason in where.items():
        print(f"reaping is off on host {name}: {reason}")


def _audit(arguments: argparse.Namespace) -> int:
    import json

    from controller.conductor.audit.looks import Auditor
    from controller.conductor.audit.text import as_text
    from controller.conductor.worker import make_executor
    from controller.db.clock import DatabaseClock
    from controller.db.session import Database

    settings = _settings(arguments)
    executor = make_executor(settings)
    db = Database(settings.db_url)
    try:
        auditor = Auditor(settings, db, executor, DatabaseClock(db))
        audit = auditor.audit(arguments.host)
    finally:
        executor.close()
    print(json.dumps(audit.as_json(), indent=1) if arguments.json else as_text(audit))
    return 0 if audit.agrees else 1


# --- lab ---------------------------------------------------------------------------------------


def _add_lab(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from lab.cli import add_commands

    lab = commands.add_parser("lab", help="real hypervisors in namespaces of this machine")
    add_commands(lab.add_subparsers(metavar="ACTION", required=True))


if __name__ == "__main__":
    sys.exit(main())
