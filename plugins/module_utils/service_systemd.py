"""The systemd back end of service_units: a unit `novella-<name>.service` for each service."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import work

if TYPE_CHECKING:
    from .service_units import Service

UNITS = "/etc/systemd/system"
NETNS_FOLDER = "/run/netns"
PREFIX, SUFFIX = "novella-", ".service"


class Systemd:
    """Units in the folder `units`; `run_command` is what carries out `systemctl`."""

    NAME = "systemd"

    def __init__(self, units: str = UNITS, run_command: Any = work.run_command) -> None:
        self.units = units
        self.run_command = run_command

    def present(
        self, service: Service, check_mode: bool, state: str
    ) -> tuple[bool, list[dict[str, str]], dict[str, Any]]:
        path = self._path(service.name)
        before, after = work.read_file(path) or "", unit_text(service)
        now = self.status(service.name)
        commands = self._commands(service, before, before != after, state, now["state"] == "up")
        if commands and not check_mode:
            work.write_file(path, after, 0o644)
            for command in commands:
                self.run_command(command)
            now = self.status(service.name)
        return bool(commands), [work.text_diff(path, before, after)], now

    def _commands(
        self, service: Service, before: str, is_different: bool, state: str, is_up: bool
    ) -> list[list[str]]:
        unit = unit_name(service.name)
        commands = []
        if is_different:
            commands.append(["systemctl", "daemon-reload"])
        if service.enabled != (bool(before) and self._is_enabled(unit)):
            commands.append(["systemctl", "enable" if service.enabled else "disable", unit])
        if state == "stopped" and is_up:
            commands.append(["systemctl", "stop", unit])
        elif state != "stopped" and (state == "restarted" or is_different or not is_up):
            commands.append(["systemctl", "restart", unit])
        return commands

    def absent(self, name: str, check_mode: bool) -> tuple[bool, list[dict[str, str]]]:
        path = self._path(name)
        before = work.read_file(path)
        if before is None:
            return False, []
        if not check_mode:
            self.run_command(["systemctl", "disable", "--now", unit_name(name)])
            work.remove_file(path)
            self.run_command(["systemctl", "daemon-reload"])
            # A unit that failed stays listed until it is forgotten.
            self.run_command(["systemctl", "reset-failed", unit_name(name)], ok_codes=range(256))
        return True, [work.text_diff(path, before, "")]

    def restart(self, name: str) -> None:
        self.run_command(["systemctl", "restart", unit_name(name)])

    def reload(self, name: str) -> None:
        if self.status(name)["state"] == "up":
            self.run_command(["systemctl", "kill", "-s", "HUP", "--kill-who=main", unit_name(name)])

    def status(self, name: str) -> dict[str, Any]:
        if not os.path.exists(self._path(name)):
            return {"state": "absent", "pid": None}
        shown = self.run_command(
            ["systemctl", "show", "-p", "ActiveState,MainPID", unit_name(name)]
        )
        values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        # `activating` is a service between two starts: it is being kept up.
        is_up = values.get("ActiveState") in ("active", "activating", "reloading")
        return {"state": "up" if is_up else "down", "pid": int(values.get("MainPID") or 0) or None}

    def listed(self) -> list[str]:
        found = os.listdir(self.units) if os.path.isdir(self.units) else []
        ours = [each for each in found if each.startswith(PREFIX) and each.endswith(SUFFIX)]
        return [each[len(PREFIX) : -len(SUFFIX)] for each in ours]

    def _is_enabled(self, unit: str) -> bool:
        said = self.run_command(["systemctl", "is-enabled", unit], ok_codes=range(256))
        return bool(said.strip() == "enabled")

    def _path(self, name: str) -> str:
        return os.path.join(self.units, unit_name(name))


def unit_name(name: str) -> str:
    return f"{PREFIX}{name}{SUFFIX}"


def unit_text(service: Service) -> str:
    """Return the unit file of `service`.

    With a namespace the unit starts only while that namespace is there: after the host booted it is
    skipped without a failure until a play has made the namespace and starts it.
    """
    unit = [f"Description={service.description.replace('%', '%%')}", "After=network.target"]
    body = [
        "Type=simple",
        "ExecStart=" + " ".join(quoted(argument) for argument in service.argv),
        "Restart=always",
        "RestartSec=1",
        "NoNewPrivileges=yes",
        "TimeoutStopSec=10",
    ]
    if service.netns:
        path = os.path.join(NETNS_FOLDER, service.netns)
        unit.append(f"ConditionPathExists={path}")
        body.append(f"NetworkNamespacePath={path}")
    if service.user != "root":
        body.append(f"User={service.user}")
    if service.working_directory:
        body.append("WorkingDirectory=" + service.working_directory.replace("%", "%%"))
    for name, value in sorted(service.environment.items()):
        body.append("Environment=" + quoted(f"{name}={value}", variables=False))
    unit.append("StartLimitIntervalSec=0")
    sections = [
        ["# Written by Novella; a run of its playbooks writes it again."],
        ["[Unit]", *unit],
        ["[Service]", *body],
        ["[Install]", "WantedBy=multi-user.target"],
    ]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def quoted(text: str, variables: bool = True) -> str:
    """Return `text` as one word of a unit file; `variables`: `$` would be expanded (ExecStart)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + (escaped.replace("$", "$$") if variables else escaped) + '"'
