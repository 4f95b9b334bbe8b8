"""POST /servers/{id}/action: the actions that are built, and what becomes of the others."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from controller.api.common import dry_runs
from controller.api.common.calls import Call, Reply
from controller.api.common.validation import check
from controller.api.compute import (
    disk_snapshots,
    live_migrations,
    live_sizes,
    server_evacuate,
    server_images,
    server_rebuild,
)
from controller.api.compute.microversions import demand, has
from controller.api.compute.policies import LIVE_RESIZE, OWN_PREFIX, SNAPSHOTS
from controller.api.compute.schemas.servers import ACTIONS as SCHEMAS
from controller.api.compute.schemas.servers import MIGRATE_TO_HOST
from controller.console import log
from controller.core import (
    server_floating_ips,
    server_locks,
    server_moves,
    server_passwords,
    server_security_groups,
    servers,
)
from controller.core.operations import begin_action
from controller.db.models import Host, Server
from controller.errors import BadRequest, Conflict, Gone, NotBuilt


@dataclass(frozen=True, slots=True)
class Action:
    """A row: the policy, and what is done. `row` is of the table of microversions, if any.

    Without `handler` the action answers 501.
    """

    policy: str = ""
    handler: Callable[[Call, str], Reply] | None = None
    row: str | None = None
    # Whether it can be tried out; see api.common.dry_runs.
    dry_run: bool = False


def act_on_server(call: Call, server_id: str) -> Reply:
    """Do the one action that the body names."""
    name = _name(call.body)
    if name in GONE:
        raise Gone(f"The server action {name} was removed from this API for good.")
    action = ACTIONS.get(name)
    if action is None:
        raise BadRequest(f"There is no such action: {name}. See the Compute API reference.")
    if action.row is not None:
        demand(call.version, action.row)
    if action.handler is None:
        raise NotBuilt(
            f"Server action {name} is part of this API, but this release of Novella does not have "
            "it yet. See CHANGELOG.md for what is there."
        )
    own = action.policy.startswith(OWN_PREFIX)
    call.authorize(action.policy if own else f"os_compute_api:{action.policy}")
    if call.dry_run and not action.dry_run:
        raise dry_runs.refuse(f"Server action {name}")
    check(call.body[name], OWN_SCHEMAS.get(name) or SCHEMAS[name], call.version)
    return action.handler(call, server_id)


def _name(body: object) -> str:
    if not isinstance(body, dict) or len(body) != 1:
        raise BadRequest(
            'Malformed request body: an action is an object with one name, such as {"os-stop": '
            "null}."
        )
    return str(next(iter(body)))


def _beginning(action: str) -> Callable[[Call, str], Reply]:
    """Return the handler of an action that needs to be told nothing."""

    def handler(call: Call, server_id: str) -> Reply:
        return _begin(call, server_id, action)

    return handler


def _reboot(call: Call, server_id: str) -> Reply:
    hard = call.body["reboot"]["type"].upper() == "HARD"
    return _begin(call, server_id, "hard_reboot" if hard else "reboot", record_as="reboot")


def _begin(call: Call, server_id: str, action: str, record_as: str | None = None) -> Reply:
    with call.services.db.write() as session:
        server = servers.get_to_act_on(session, call.context, server_id)
        begin_action(session, call.settings, call.context, server, action, record_as=record_as)
    return Reply(status=202)


def _restore(call: Call, server_id: str) -> Reply:
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        servers.restore(session, call.settings, call.context, server)
    return Reply(status=202)


def _force_delete(call: Call, server_id: str) -> Reply:
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        servers.force_delete(session, call.settings, call.context, server)
    return Reply(status=202)


def _offload(call: Call, server_id: str) -> Reply:
    return _begin(call, server_id, "shelve_offload", record_as="shelveOffload")


def _change_password(call: Call, server_id: str) -> Reply:
    password = call.body["changePassword"]["adminPass"]
    with call.services.db.write() as session:
        server = servers.get_to_act_on(session, call.context, server_id)
        server_passwords.change(session, call.settings, call.context, server, password)
    return Reply(status=202)


def _lock(call: Call, server_id: str) -> Reply:
    asked = call.body["lock"] if has(call.version, "server.locked_reason") else None
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        server_locks.lock(session, call.context, server, (asked or {}).get("locked_reason"))
    return Reply(status=202)


def _unlock(call: Call, server_id: str) -> Reply:
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        if server_locks.needs_override(call.context, server):
            call.authorize("os_compute_api:os-lock-server:unlock:unlock_override")
        server_locks.unlock(session, call.context, server)
    return Reply(status=202)


def _resize(call: Call, server_id: str) -> Reply:
    asked = call.body["resize"]
    with _locked(call, server_id) as (session, server):
        flavor_id = str(asked["flavorRef"]).rstrip("/").rpartition("/")[2]
        server_moves.resize(session, call.settings, call.context, server, flavor_id)
        if "OS-DCF:diskConfig" in asked:
            server.disk_config = asked["OS-DCF:diskConfig"]
    return Reply(status=202)


def _confirm_resize(call: Call, server_id: str) -> Reply:
    with _locked(call, server_id) as (session, server):
        server_moves.confirm(session, call.settings, call.context, server)
    return Reply(status=204)


def _revert_resize(call: Call, server_id: str) -> Reply:
    with _locked(call, server_id) as (session, server):
        server_moves.revert(session, call.settings, call.context, server)
    return Reply(status=202)


def _migrate(call: Call, server_id: str) -> Reply:
    host_name = None
    if has(call.version, "action.migrate_host"):
        check(call.body["migrate"], MIGRATE_TO_HOST, call.version)
        host_name = (call.body["migrate"] or {}).get("host")
    if host_name is not None:
        call.authorize("os_compute_api:os-migrate-server:migrate:host")
    with _locked(call, server_id) as (session, server):
        server_moves.migrate(session, call.settings, call.context, server, host_name)
    return Reply(status=202)


@contextmanager
def _locked(call: Call, server_id: str) -> Iterator[tuple[Session, Server]]:
    """Yield a transaction with the server in it, its row locked."""
    with call.services.db.write() as session:
        yield session, servers.get_to_act_on(session, call.context, server_id)


def _reset_state(call: Call, server_id: str) -> Reply:
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        servers.reset_state(session, call.context, server, call.body["os-resetState"]["state"])
    return Reply(status=202)


def _add_security_group(call: Call, server_id: str) -> Reply:
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        name = call.body["addSecurityGroup"]["name"]
        server_security_groups.add(session, call.context, server, name)
    return Reply(status=202)


def _remove_security_group(call: Call, server_id: str) -> Reply:
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        name = call.body["removeSecurityGroup"]["name"]
        server_security_groups.remove(session, call.context, server, name)
    return Reply(status=202)


def _add_floating_ip(call: Call, server_id: str) -> Reply:
    asked = call.body["addFloatingIp"]
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        server_floating_ips.add(
            session, call.context, server, asked["address"], asked.get("fixed_address")
        )
    return Reply(status=202)


def _remove_floating_ip(call: Call, server_id: str) -> Reply:
    address = call.body["removeFloatingIp"]["address"]
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        server_floating_ips.remove(session, call.context, server, address)
    return Reply(status=202)


def _console_output(call: Call, server_id: str) -> Reply:
    """Return the end of the console's log; the transaction is over before the host is asked."""
    with call.services.db.read() as session:
        server: Server = servers.get(session, call.context, server_id)
        host = session.get(Host, server.host_id) if server.host_id else None
    if host is None:
        raise Conflict(
            f"Instance {server_id} is not ready: it is on no host yet. Wait until it is ACTIVE."
        )
    length = (call.body["os-getConsoleOutput"] or {}).get("length")
    lines = None if length in (None, -1, "-1") else int(length)
    return Reply({"output": log.read(call.settings, host, server.id, lines)})


ACTIONS: dict[str, Action] = {
    "os-start": Action("servers:start", _beginning("start")),
    "os-stop": Action("servers:stop", _beginning("stop")),
    "pause": Action("os-pause-server:pause", _beginning("pause")),
    "unpause": Action("os-pause-server:unpause", _beginning("unpause")),
    "suspend": Action("os-suspend-server:suspend", _beginning("suspend")),
    "resume": Action("os-suspend-server:resume", _beginning("resume")),
    "reboot": Action("servers:reboot", _reboot),
    "rebuild": Action("servers:rebuild", server_rebuild.rebuild),
    "restore": Action("os-deferred-delete:restore", _restore),
    "forceDelete": Action("os-deferred-delete:force", _force_delete, dry_run=True),
    "lock": Action("os-lock-server:lock", _lock),
    "unlock": Action("os-lock-server:unlock", _unlock),
    "rescue": Action("os-rescue", server_images.rescue),
    "unrescue": Action("os-unrescue", _beginning("unrescue")),
    "createImage": Action("servers:create_image", server_images.create_image),
    "createBackup": Action("os-create-backup", server_images.create_backup),
    "shelve": Action("os-shelve:shelve", server_images.shelve),
    "shelveOffload": Action("os-shelve:shelve_offload", _offload),
    "unshelve": Action("os-shelve:unshelve", server_images.unshelve),
    "resize": Action("servers:resize", _resize, dry_run=True),
    "confirmResize": Action("servers:confirm_resize", _confirm_resize),
    "revertResize": Action("servers:revert_resize", _revert_resize),
    "migrate": Action("os-migrate-server:migrate", _migrate, dry_run=True),
    "evacuate": Action("os-evacuate", server_evacuate.evacuate, dry_run=True),
    disk_snapshots.REVERT: Action(f"{SNAPSHOTS}:revert", disk_snapshots.revert),
    live_sizes.ACTION: Action(LIVE_RESIZE, live_sizes.live_resize),
    "os-migrateLive": Action(
        "os-migrate-server:migrate_live", live_migrations.live_migrate, dry_run=True
    ),
    "os-resetState": Action("os-admin-actions:reset_state", _reset_state),
    "os-getConsoleOutput": Action("os-console-output", _console_output),
    "addSecurityGroup": Action("os-security-groups:add", _add_security_group),
    "removeSecurityGroup": Action("os-security-groups:remove", _remove_security_group),
    "changePassword": Action("os-admin-password", _change_password),
    "trigger_crash_dump": Action(
        "servers:trigger_crash_dump",
        _beginning("trigger_crash_dump"),
        row="action.trigger_crash_dump",
    ),
    **{
        name: Action(row="action.legacy_consoles")
        for name in ("os-getVNCConsole", "os-getSPICEConsole", "os-getSerialConsole")
    },
    "addFloatingIp": Action(
        "os-floating-ips:add", _add_floating_ip, row="action.legacy_addresses"
    ),
    "removeFloatingIp": Action(
        "os-floating-ips:remove", _remove_floating_ip, row="action.legacy_addresses"
    ),
    **{
        name: Action(row="action.legacy_addresses") for name in ("addFixedIp", "removeFixedIp")
    },
}  # fmt: skip
OWN_SCHEMAS = {
    disk_snapshots.REVERT: disk_snapshots.REVERT_BODY,
    live_sizes.ACTION: live_sizes.BODY,
}
# Upstream removed these for good.
GONE = frozenset({"resetNetwork", "os-getRDPConsole", "injectNetworkInfo"})
