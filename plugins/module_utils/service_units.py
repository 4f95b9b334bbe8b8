"""Supervised processes on a host: systemd where it runs, s6 elsewhere (the lab, containers).

One definition (`Service`) is rendered by either back end (service_systemd.py, service_s6.py). A
process that ends is started again. Nothing is enabled at boot unless asked: what belongs to a
network comes back with the play that makes its namespace again.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

from . import service_s6, service_systemd, work

NAME_RE = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
USER_RE = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
VARIABLE_RE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

BACKENDS: dict[str, Any] = {"systemd": service_systemd.Systemd, "s6": service_s6.S6}

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {
        "type": "str",
        "choices": ["started", "restarted", "stopped", "absent"],
        "default": "started",
    },
    "argv": {"type": "list", "elements": "str"},
    "description": {"type": "str"},
    "user": {"type": "str", "default": "root"},
    "netns": {"type": "str"},
    "environment": {"type": "dict", "default": {}},
    "working_directory": {"type": "path"},
    "enabled": {"type": "bool", "default": False},
    "backend": {"type": "str", "choices": ["auto", "systemd", "s6"], "default": "auto"},
}
SPEC_RULES: dict[str, Any] = {
    "required_if": [
        ("state", "started", ["argv"]),
        ("state", "stopped", ["argv"]),
    ]
}


@dataclass(frozen=True)
class Service:
    """A process to keep running. `netns` is a name that `ip netns` lists."""

    name: str
    argv: list[str]
    description: str = ""
    user: str = "root"
    netns: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    enabled: bool = False


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the service of `params` (see ARGUMENT_SPEC) into its state; the module's work."""
    if params["state"] == "absent":
        return absent(params["name"], params["backend"], check_mode)
    if params["state"] == "restarted" and not params["argv"]:
        return restart(params["name"], params["backend"], check_mode)
    service = Service(
        name=params["name"],
        argv=[str(argument) for argument in params["argv"]],
        description=params.get("description") or f"Novella: {params['name']}",
        user=params.get("user") or "root",
        netns=params.get("netns"),
        environment={k: str(v) for k, v in (params.get("environment") or {}).items()},
        working_directory=params.get("working_directory"),
        enabled=bool(params.get("enabled")),
    )
    return present(service, params["backend"], check_mode, params["state"])


def present(
    service: Service, backend: str = "auto", check_mode: bool = False, state: str = "started"
) -> dict[str, Any]:
    """Have `service` defined and in `state` (started, restarted, stopped).

    A definition that changed restarts a service that runs. Returns `changed`, `diff`, `backend`,
    and `service` (state up or down, pid). Raises WorkError for what no unit can carry.
    """
    check(service)
    chosen = select_backend(backend)
    changed, diff, now = chosen.present(service, check_mode, state)
    return {"changed": changed, "diff": diff, "backend": chosen.NAME, "service": now}


def absent(name: str, backend: str = "auto", check_mode: bool = False) -> dict[str, Any]:
    """Have no service `name`: stopped, and its definition removed."""
    chosen = select_backend(backend)
    changed, diff = chosen.absent(_checked_name(name), check_mode)
    return _result(changed, diff, chosen, name)


def restart(name: str, backend: str = "auto", check_mode: bool = False) -> dict[str, Any]:
    """Have the service `name` started again as it is defined; one that isn't up is left alone."""
    chosen = select_backend(backend)
    is_up = chosen.status(_checked_name(name))["state"] == "up"
    if is_up and not check_mode:
        chosen.restart(name)
    return _result(is_up, [], chosen, name)


def reload(name: str, backend: str = "auto") -> None:
    """Send SIGHUP to the service; one that isn't running reads its files when it starts."""
    select_backend(backend).reload(_checked_name(name))


def status(name: str, backend: str = "auto") -> dict[str, Any]:
    """Return {"state": "up" | "down" | "absent", "pid": number or None}."""
    return dict(select_backend(backend).status(_checked_name(name)))


def listed(backend: str = "auto") -> list[str]:
    """Return the names of all services that are ours, up or not."""
    return sorted(select_backend(backend).listed())


def _result(changed: bool, diff: Any, chosen: Any, name: str) -> dict[str, Any]:
    return {
        "changed": changed,
        "diff": diff,
        "backend": chosen.NAME,
        "service": chosen.status(name),
    }


def select_backend(
    wanted: str = "auto",
    systemd_mark: str = "/run/systemd/system",
    s6_mark: str = os.path.join(service_s6.SCAN_DIRECTORY, ".s6-svscan"),
) -> Any:
    """Return the back end `wanted`, or for `auto` the one whose mark (a folder) is there.

    Raises WorkError when the host has no supervisor that we know.
    """
    if wanted in BACKENDS:
        return BACKENDS[wanted]()
    if os.path.isdir(systemd_mark):
        return BACKENDS["systemd"]()
    if os.path.isdir(s6_mark):
        return BACKENDS["s6"]()
    raise work.WorkError(
        f"Cannot supervise services on this host: neither systemd ({systemd_mark}) nor s6 "
        f"({s6_mark}) runs. Boot it with systemd, or start `s6-svscan {service_s6.SCAN_DIRECTORY}`."
    )


def check(service: Service) -> None:
    """Raise WorkError for a definition that a unit or run file can't carry safely."""
    _checked_name(service.name)
    if not service.argv or not service.argv[0].startswith("/"):
        raise work.WorkError(
            f"Cannot supervise {service.name}: its program {service.argv[:1]} has no absolute "
            "path. Give the whole path as the first argument."
        )
    values = [*service.argv, *service.environment.values(), service.description]
    values += [service.netns or "", service.working_directory or ""]
    if any(character in value for value in values for character in "\n\r\0"):
        raise work.WorkError(
            f"Cannot supervise {service.name}: an argument or a variable holds a line break, "
            "which no unit file can carry. Put it into a file and name that file."
        )
    wrong = [name for name in service.environment if not VARIABLE_RE.fullmatch(name)]
    if wrong or not USER_RE.fullmatch(service.user) or "/" in (service.netns or ""):
        raise work.WorkError(
            f"Cannot supervise {service.name}: variable {wrong}, user {service.user!r} or "
            f"namespace {service.netns!r} is not a plain name. Correct it."
        )


def _checked_name(name: str) -> str:
    if NAME_RE.fullmatch(name):
        return name
    raise work.WorkError(
        f"Service name {name!r} is refused: use lower-case letters, digits, '.', '_' and '-', 80 "
        "characters at most."
    )
