"""The s6 back end of service_units: service folders that s6-svscan's scan directory links to."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from typing import TYPE_CHECKING, Any

from . import work

if TYPE_CHECKING:
    from .service_units import Service

SCAN_DIRECTORY = "/run/service"
# Not in the scan directory itself: s6-svlink and s6-svunlink, which wait for the supervisor to be
# there or gone, work on links. It lies in /run, so that it goes at a boot as the namespaces do.
SERVICES = "/run/novella/services"
NETNS_FOLDER = "/run/netns"
PREFIX = "novella-"
STOP_TIMEOUT_MS = 5000
WAIT_MS = 10000
# What s6-svc ends with when nobody supervises the service.
NOT_SUPERVISED = 100


class S6:
    """Services in the folder `services`, linked from `scan_directory`."""

    NAME = "s6"

    def __init__(self, scan_directory: str = SCAN_DIRECTORY, services: str = SERVICES) -> None:
        self.scan_directory = scan_directory
        self.services = services

    def present(
        self, service: Service, check_mode: bool, state: str
    ) -> tuple[bool, list[dict[str, str]], dict[str, Any]]:
        run_path = os.path.join(self._folder(service.name), "run")
        before, after = work.read_file(run_path) or "", run_script(service)
        now = self.status(service.name)
        is_up, wants_up = now["state"] == "up", state != "stopped"
        # The file `down` keeps a service from starting when its supervisor does.
        is_down_marked = os.path.exists(os.path.join(self._folder(service.name), "down"))
        is_linked = os.path.lexists(self._link(service.name))
        restart = is_up and wants_up and (state == "restarted" or before != after)
        changed = (
            before != after or restart or is_up != wants_up or is_down_marked == wants_up
        ) or not is_linked
        if changed and not check_mode:
            self._write(service.name, after, wants_up)
            self._bring(service.name, wants_up, restart)
            now = self.status(service.name)
        return changed, [work.text_diff(run_path, before, after)], now

    def _write(self, name: str, script: str, wants_up: bool) -> None:
        folder = self._folder(name)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        work.write_file(os.path.join(folder, "run"), script, 0o755)
        work.write_file(os.path.join(folder, "timeout-kill"), f"{STOP_TIMEOUT_MS}\n", 0o644)
        down = os.path.join(folder, "down")
        if wants_up:
            work.remove_file(down)
        else:
            work.write_file(down, "", 0o644)

    def _bring(self, name: str, wants_up: bool, restart: bool) -> None:
        link = self._link(name)
        if not self._is_supervised(name):
            # A link whose supervisor never came up (or died with svscan) would be in the way.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(link)
            folder = self._folder(name)
            work.run_command(
                ["s6-svlink", "-t", str(WAIT_MS), self.scan_directory, folder, _entry(name)]
            )
        if not wants_up:
            work.run_command(["s6-svc", "-wD", "-T", str(WAIT_MS), "-d", link])
        elif restart:
            self.restart(name)
        else:
            work.run_command(["s6-svc", "-wu", "-T", str(WAIT_MS), "-u", link])

    def absent(self, name: str, check_mode: bool) -> tuple[bool, list[dict[str, str]]]:
        folder, link = self._folder(name), self._link(name)
        before = work.read_file(os.path.join(folder, "run"))
        if before is None and not os.path.lexists(link) and not os.path.isdir(folder):
            return False, []
        if not check_mode:
            if os.path.lexists(link):
                argv = ["s6-svunlink", "-t", str(WAIT_MS), self.scan_directory, _entry(name)]
                work.run_command(argv, ok_codes=(0,) if self._is_supervised(name) else range(256))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(link)
            shutil.rmtree(folder, ignore_errors=True)
        return True, [work.text_diff(os.path.join(folder, "run"), before or "", "")]

    def restart(self, name: str) -> None:
        work.run_command(["s6-svc", "-wr", "-T", str(WAIT_MS), "-r", self._link(name)])

    def reload(self, name: str) -> None:
        if os.path.lexists(self._link(name)):
            # Without a supervisor it says so, and there is nobody to tell.
            work.run_command(["s6-svc", "-h", self._link(name)], ok_codes=(0, NOT_SUPERVISED))

    def status(self, name: str) -> dict[str, Any]:
        if not os.path.exists(os.path.join(self._folder(name), "run")):
            return {"state": "absent", "pid": None}
        said = work.run_command(
            ["s6-svstat", "-o", "wantedup,pid", self._folder(name)], ok_codes=range(256)
        ).split()
        # Wanted up: a process that just died is started again within a second.
        is_up = bool(said) and said[0] == "true"
        pid = int(said[1]) if is_up and len(said) > 1 else -1
        return {"state": "up" if is_up else "down", "pid": pid if pid > 0 else None}

    def listed(self) -> list[str]:
        folders = [each for each in (self.services, self.scan_directory) if os.path.isdir(each)]
        found = {name for each in folders for name in os.listdir(each)}
        return [name[len(PREFIX) :] for name in found if name.startswith(PREFIX)]

    def _is_supervised(self, name: str) -> bool:
        said = work.run_command(
            ["s6-svstat", "-o", "up", self._folder(name)], ok_codes=range(256)
        ).strip()
        return said in ("true", "false") and os.path.lexists(self._link(name))

    def _folder(self, name: str) -> str:
        return os.path.join(self.services, _entry(name))

    def _link(self, name: str) -> str:
        return os.path.join(self.scan_directory, _entry(name))


def _entry(name: str) -> str:
    return f"{PREFIX}{name}"


def command(service: Service) -> list[str]:
    """Return the command line that becomes `service`, in its namespace and as its user."""
    argv = list(service.argv)
    if service.user != "root":
        # Without capabilities, and without a way to get any back.
        argv = [
            "/usr/bin/setpriv",
            f"--reuid={service.user}",
            "--regid=" + primary_group(service.user),
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--no-new-privs",
            "--",
            *argv,
        ]
    if service.netns:
        path = os.path.join(NETNS_FOLDER, service.netns)
        argv = ["/usr/bin/nsenter", f"--net={path}", "--", *argv]
    return argv


def run_script(service: Service) -> str:
    """Return the `run` file of `service`: it becomes the process, with no shell left behind."""
    lines = ["#!/bin/sh", "# Written by Novella; a run of its playbooks writes it again."]
    lines.append("exec 2>&1")
    if service.working_directory:
        lines.append(f"cd {shlex.quote(service.working_directory)} || exit 1")
    for name, value in sorted(service.environment.items()):
        lines.append(f"export {name}={shlex.quote(value)}")
    lines.append("exec " + shlex.join(command(service)))
    return "\n".join(lines) + "\n"


def primary_group(user: str) -> str:
    """Return the number of the user's own group. Raises WorkError for an unknown user."""
    import pwd

    try:
        return str(pwd.getpwnam(user).pw_gid)
    except KeyError as error:
        raise work.WorkError(
            f"Cannot run a service as {user!r}: this host has no such user. Make it, or name "
            "another."
        ) from error
