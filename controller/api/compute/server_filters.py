"""What the query of a list of servers asks for: filters and order.

Follows OpenStack Nova: a tenant's unknown filters are passed over in silence until 2.75 refuses
them; some filters are for admins until later versions give them to everybody.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, or_

from controller.api.common.calls import Call
from controller.api.compute import statuses
from controller.api.compute.microversions import has
from controller.api.compute.schemas.parameters import is_true
from controller.api.compute.times import parse
from controller.core import server_list, server_tags
from controller.core.server_list import EXACT, NUMBERS, PATTERNS, SORT_KEYS, TIMES, Filters
from controller.db.models import Server
from controller.errors import BadRequest, Forbidden

FOR_TENANTS = frozenset(
    {
        "reservation_id", "name", "status", "image", "flavor", "ip", "changes-since", "all_tenants",
    }
)  # fmt: skip
# Filters that a tenant may use too where the row of the table of microversions holds.
FOR_TENANTS_WITH = {
    "server.filter_ip6": frozenset({"ip6"}),
    "server.filter_tags": frozenset({"tags", "tags-any", "not-tags", "not-tags-any"}),
    "server.filter_changes_before": frozenset({"changes-before"}),
    "server.filter_locked": frozenset({"locked"}),
    "server.filter_more_for_tenants": frozenset(
        {
            "availability_zone", "config_drive", "key_name", "created_at", "launched_at",
            "terminated_at", "power_state", "task_state", "vm_state", "progress", "user_id",
        }
    ),
    "server.filter_hostname": frozenset({"hostname"}),
}  # fmt: skip
# Accepted in the query of 2.75 and later; anything else is refused there.
KNOWN = frozenset(
    {
        *PATTERNS, *EXACT, *NUMBERS, *TIMES, "all_tenants", "auto_disk_config",
        "changes-before", "changes-since", "config_drive", "deleted", "flavor", "host", "ip", "ip6",
        "kernel_id", "limit", "locked", "locked_by", "marker", "node", "not-tags", "not-tags-any",
        "progress", "ramdisk_id", "root_device_name", "soft_deleted", "sort_dir", "sort_key",
        "status", "tags", "tags-any",
    }
)  # fmt: skip
# Sort keys that upstream once took and has since passed over.
IGNORED_SORT_KEYS = frozenset(
    {
        "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device",
        "deleted", "deleted_at", "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id",
        "kernel_id", "key_data", "launched_on", "locked_by", "memory_mb", "os_type", "progress",
        "ramdisk_id", "reservation_id", "root_device_name", "root_gb", "shutdown_terminate",
        "user_data", "vcpus", "vm_mode",
    }
)  # fmt: skip


def read_filters(call: Call, kind: str) -> Filters | None:
    """Return the filters, or None when nothing can fit them. `kind` is index or detail."""
    query = call.request.args
    if has(call.version, "server.unknown_filter_refused"):
        _refuse_unknown(list(query))
    names = _allowed(call)
    filters = Filters(project_id=call.context.project_id, deleted=False)
    if _all_tenants(call, kind):
        filters.project_id = query.get("project_id") or query.get("tenant_id")
        names -= {"project_id", "tenant_id"}
    elif call.context.project_id is None:
        # No project would mean all of them.
        raise BadRequest("Cannot list servers: the token has no project. Log in to one.")
    else:
        names -= {"tenant_id", "project_id"}
    if "status" in query and not _read_statuses(call, filters):
        return None
    _read_times(call, filters, names)
    if "deleted" in names:
        filters.deleted = is_true(query["deleted"])
    if "soft_deleted" in names:
        filters.soft_deleted = is_true(query["soft_deleted"])
    for name in names:
        condition = _condition(name, query[name])
        if condition is not None:
            filters.conditions.append(condition)
    return filters


def read_sort(call: Call) -> list[tuple[str, bool]]:
    """Return the (key, descending) pairs asked for; the last direction stands for more."""
    directions = call.request.args.getlist("sort_dir")
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Unknown sort direction {direction!r}: use asc or desc.")
    keys: list[tuple[str, bool]] = []
    for place, key in enumerate(call.request.args.getlist("sort_key")):
        if key in IGNORED_SORT_KEYS:
            continue
        if key not in SORT_KEYS or (
            key == "locked" and not has(call.version, "server.filter_locked")
        ):
            raise BadRequest(
                f"Invalid input for query parameters sort_key: {key!r} is none of "
                f"{', '.join(SORT_KEYS)}."
            )
        if key in ("host", "node") and not call.context.is_admin:
            raise Forbidden(f"Only administrators can sort servers by {key}.")
        chosen = directions[min(place, len(directions) - 1)] if directions else "desc"
        # A key that comes again changes nothing, and a page's condition grows with their square.
        if key not in dict(keys):
            keys.append((key, chosen == "desc"))
    return keys


def _refuse_unknown(names: list[str]) -> None:
    for name in names:
        if name not in KNOWN:
            raise BadRequest(
                f"Invalid input for query parameters {name}. Additional properties are not allowed "
                f"('{name}' was unexpected)."
            )


def _allowed(call: Call) -> set[str]:
    """Return the filters of the query that this caller may use; the others are passed over."""
    names = set(call.request.args) & KNOWN
    for name in call.request.args:
        if name.startswith("_"):
            raise BadRequest(f"Invalid filter field: {name}.")
    if call.allows("os_compute_api:servers:allow_all_filters"):
        return names
    allowed = set(FOR_TENANTS)
    for row, more in FOR_TENANTS_WITH.items():
        if has(call.version, row):
            allowed |= more
    return names & allowed


def _all_tenants(call: Call, kind: str) -> bool:
    value = call.query.get("all_tenants")
    if value is None:
        return False
    # `all_tenants` alone, without a value, means yes.
    lowered = value.strip().lower()
    if lowered not in ("", "1", "true", "t", "yes", "y", "on"):
        if lowered in ("0", "false", "f", "no", "n", "off"):
            return False
        raise BadRequest(f"Invalid value {value!r} for all_tenants: use true or false.")
    call.authorize(f"os_compute_api:servers:{kind}:get_all_tenants")
    return True


def _read_statuses(call: Call, filters: Filters) -> bool:
    """Add the states of the statuses asked for; False when no server can have any of them."""
    wanted = list(dict.fromkeys(map(str.upper, call.request.args.getlist("status"))))
    known = [status for status in wanted if statuses.states_of(status)]
    if not known:
        unknown = [status for status in wanted if status != statuses.UNKNOWN]
        if unknown and has(call.version, "server.bad_status_refused"):
            raise BadRequest(f"Invalid status value {', '.join(unknown)}.")
        return False
    if known == ["DELETED"]:
        if not call.context.is_admin:
            raise Forbidden("Only administrators may list deleted instances.")
        filters.deleted = True
        return True
    conditions: list[ColumnElement[bool]] = []
    for state, task in (pair for status in known for pair in statuses.states_of(status)):
        conditions.append(
            (Server.state == state)
            if task is None
            else (Server.state == state) & (Server.task_state == task)
        )
    filters.conditions.append(or_(*conditions))
    return True


def _read_times(call: Call, filters: Filters, names: set[str]) -> None:
    """Read changes-since and -before, with which servers deleted since are listed too."""
    since = before = None
    if "changes-since" in names:
        since = parse(call.query["changes-since"], "changes-since")
        filters.conditions.append(Server.updated_at >= since)
        filters.deleted = None
    if "changes-before" in names:
        before = parse(call.query["changes-before"], "changes-before")
        filters.conditions.append(Server.updated_at <= before)
        filters.deleted = None
    if since and before and before < since:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")


def _number(column: Any) -> Callable[[str], ColumnElement[bool]]:
    def condition(value: str) -> ColumnElement[bool]:
        if not (value.isascii() and value.isdigit()):
            return server_list.nothing()
        return column == int(value[:9])  # type: ignore[no-any-return]  # SQLAlchemy: == is Any

    return condition


_OTHERS: dict[str, Callable[[str], ColumnElement[bool]]] = {
    "flavor": server_list.of_flavor,
    "host": server_list.on_host,
    "node": server_list.on_host,
    "ip": lambda value: server_list.has_address(value, 4),
    "ip6": lambda value: server_list.has_address(value, 6),
    "locked": lambda value: Server.locked == is_true(value),
    "config_drive": lambda value: Server.config_drive == is_true(value),
    "auto_disk_config": lambda value: (
        Server.disk_config == ("AUTO" if is_true(value) else "MANUAL")
    ),
    "tags": lambda value: server_tags.has_all(value.split(",")),
    "tags-any": lambda value: server_tags.has_any(value.split(",")),
    "not-tags": lambda value: ~server_tags.has_all(value.split(",")),
    "not-tags-any": lambda value: ~server_tags.has_any(value.split(",")),
}


def _condition(name: str, value: str) -> ColumnElement[bool] | None:
    """Return the condition of one filter; None for one that is read elsewhere or means nothing."""
    if name in EXACT:
        return EXACT[name] == value
    if name in PATTERNS:
        found: ColumnElement[bool] = server_list.matches(PATTERNS[name], value)
        return found
    if name in NUMBERS:
        return _number(NUMBERS[name])(value)
    if name in TIMES:
        return TIMES[name] == parse(value, name)
    made = _OTHERS.get(name)
    return made(value) if made else None
