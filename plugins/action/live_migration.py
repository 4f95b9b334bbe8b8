"""Migrate a running server: libvirt's client is on this side, with a connection to each host.

No host gets a shell, or libvirt's socket, of another. See docs/adr/0011.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, cast

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.novella.cloud.plugins.plugin_utils import item_follower, libvirt_gate

DRIVER = os.path.join(os.path.dirname(libvirt_gate.__file__), "migration_driver.py")
# Where Ansible's own Python is a virtual environment, libvirt's bindings are the system's.
PYTHON = "/usr/bin/python3"
# Names the file whose being there asks to have a move over with; see controller/runner/ansible.py.
FORCE = "NOVELLA_FORCE_COMPLETE"
CONFIG_DRIVE_MAX_S = 120
MESSAGE_MAX = 1000

ARGUMENT_SPEC: dict[str, Any] = {
    "servers": {"type": "list", "elements": "dict", "required": True},
    "owner": {"type": "str", "default": libvirt_gate.NO_CLOUD},
    "override": {"type": "bool", "default": False},
    "destination": {"type": "str", "default": ""},
    "lock_timeout_s": {"type": "int", "default": 180},
    "state_path": {"type": "path", "default": "/var/lib/novella"},
}

Result = dict[str, Any]


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: Result | None = None) -> Result:
        answer: Result = super().run(tmp, task_vars)
        _, asked = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        task_vars = task_vars or {}
        _check_python()
        known = task_vars.get("hostvars") or {}
        source = str(task_vars.get("inventory_hostname"))
        results = [self._one(server, source, known, asked) for server in asked["servers"]]
        said = "; ".join(each["msg"] for each in results if each["msg"])
        diffs = [diff for each in results for step in each["steps"] for diff in step["diff"]]
        return {
            **answer,
            "diff": diffs,
            "changed": any(each["changed"] for each in results),
            "failed": any(each["failed"] for each in results),
            "results": results,
            **({"msg": said} if said else {}),
        }

    def _one(self, server: Result, source: str, known: Any, asked: Result) -> Result:
        """Migrate one server, and return its item's result."""
        server_id, move = str(server["id"]), server.get("move") or {}
        destination = str(move.get("peer_name") or asked["destination"])
        if destination not in known or destination == source:
            raise AnsibleActionFail(
                f"Cannot migrate server {server_id} from {source} to {destination or 'no host'}: "
                "name another host of this run's inventory."
            )
        move = _Move(
            server_id, server.get("generation"), asked,
            shared=bool(move.get("shared")), settle=bool(move.get("settle")),
            config_drive=bool(server.get("config_drive")), look=bool(self._task.check_mode),
        )  # fmt: skip
        said = move.made(Host(source, known[source]), Host(destination, known[destination]))
        return _result(server_id, said, (source, destination))


@dataclass(frozen=True)
class _Move:
    """One server's, as its run was told. `asked` are the task's arguments."""

    server_id: str
    generation: int | None
    asked: Result
    shared: bool
    settle: bool
    config_drive: bool
    # Whether it is only looked at what would come of it.
    look: bool

    def made(self, source: Host, destination: Host) -> Result:
        """Have it done, and return the last word of who drives it."""
        brings = not self.shared and not self.settle
        if brings and self.config_drive and not self.look:
            why = _config_drive_brought(source, destination, self._folder)
            if why:
                return {"where": None, "error": why}
        with tempfile.TemporaryDirectory() as folder:
            driving = {
                "server_id": self.server_id,
                "source": self._connector(folder, source),
                "destination": self._connector(folder, destination),
                "address": destination.address,
                "listen": str(destination.get("compute_vnc_listen", "127.0.0.1")),
                "block": not self.shared,
                "free_bytes": destination.free_bytes(self._disk) if brings else None,
                "settle": self.settle,
                "look": self.look,
                "force_file": os.environ.get(FORCE),
            }
            return _drive(driving, source.name)

    @property
    def _folder(self) -> str:
        return f"{self.asked['state_path']}/instances/{self.server_id}"

    @property
    def _disk(self) -> str:
        """Return a folder of the disk that the server will be on, which is there in either case."""
        return os.path.dirname(self._folder) if self.look else self._folder

    def _connector(self, folder: str, host: Host) -> str:
        """Return a program whose ends are those of libvirt there, past the server's lock."""
        with open(str(libvirt_gate.__file__), encoding="utf-8") as file:
            gate = file.read()
        command = host.command(
            PYTHON, "-c", gate, f"{self.asked['state_path']}/fence", self.server_id,
            self.asked["owner"], "" if self.generation is None else str(self.generation),
            "override" if self.asked["override"] else "", str(self.asked["lock_timeout_s"]),
            "look" if self.look else "",
        )  # fmt: skip
        path = os.path.join(folder, host.name)
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o700), "w") as program:
            program.write(f"#!/bin/sh\nexec {shlex.join(command)}\n")
        return path


class Host:
    """One of the two, as the inventory has it."""

    def __init__(self, name: str, variables: Any) -> None:
        self.name, self._variables = name, variables

    def get(self, name: str, default: Any = "") -> Any:
        return self._variables.get(name) or default

    @property
    def address(self) -> str:
        """Return where other hosts reach it."""
        return str(self.get("compute_move_address") or self.get("ansible_host", self.name))

    def command(self, *remote: str) -> list[str]:
        """Return the words that run `remote` there as root, over a connection of its own."""
        key = self.get("ansible_ssh_private_key_file") or self.get("ansible_private_key_file")
        words = [*(["sudo", "-n"] if self.get("ansible_become", False) else []), *remote]
        return [
            "ssh",
            *shlex.split(str(self.get("ansible_ssh_common_args"))),
            *shlex.split(str(self.get("ansible_ssh_extra_args"))),
            *_options("ControlPath=none", "BatchMode=yes", "ConnectTimeout=10"),
            *_options("ServerAliveInterval=5", "ServerAliveCountMax=6"),
            *(["-i", str(key)] if key else []),
            "-p", str(self.get("ansible_port", 22)), "-l", str(self.get("ansible_user", "root")),
            "--", str(self.get("ansible_host", self.name)), shlex.join(words),
        ]  # fmt: skip

    def free_bytes(self, folder: str) -> int | None:
        """Return what is left of the disk that the folder is on; None when it doesn't say."""
        command = self.command("stat", "-f", "-c", "%a %S", folder)
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        words = done.stdout.split()
        return int(words[0]) * int(words[1]) if done.returncode == 0 and len(words) == 2 else None


def _options(*settings: str) -> Iterator[str]:
    for setting in settings:
        yield "-o"
        yield setting


def _check_python() -> None:
    done = subprocess.run([PYTHON, "-c", "import libvirt"], capture_output=True, check=False)
    if done.returncode:
        raise AnsibleActionFail(
            f"Cannot migrate: {PYTHON} on Ansible's side has no libvirt. Install python3-libvirt."
        )


def _config_drive_brought(source: Host, destination: Host, folder: str) -> str:
    """Copy the config drive, through here; return why it can't be, or an empty text.

    libvirt copies no read-only disk. It has a password that nobody has kept, so it can't be made
    anew; a part of it goes through a pipe, and stays nowhere.
    """
    path = f"{folder}/disk.config"
    keep = 'test -e "$0" || { umask 022; cat >"$0.part" && mv "$0.part" "$0"; }'
    give = 'test ! -e "$0" || cat "$0"'
    with subprocess.Popen(
        source.command("sh", "-c", give, path),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as giving:  # fmt: skip
        done = subprocess.run(
            destination.command("sh", "-c", keep, path),
            stdin=giving.stdout, capture_output=True, check=False, timeout=CONFIG_DRIVE_MAX_S,
        )  # fmt: skip
    if not done.returncode and not giving.returncode:
        return ""
    said = done.stderr.decode(errors="replace").strip()[-MESSAGE_MAX:]
    return f"its config drive could not be brought to {destination.name}: {said}"


def _drive(asked: Result, host: str) -> Result:
    """Run the driver, hand its progress out, and return its last word."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [PYTHON, DRIVER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        ) as driver,
    ):  # fmt: skip
        # Both are pipes, which the type of Popen does not say.
        told, heard = cast("IO[str]", driver.stdin), cast("IO[str]", driver.stdout)
        told.write(json.dumps(asked) + "\n")
        told.close()
        last: Result = {}
        for line in heard:
            said = json.loads(line)
            if "progress" in said:
                item_follower.hand_out(host, {"id": asked["server_id"], **said})
            else:
                last = said
        driver.wait()
        errors.seek(0)
        why = errors.read().strip()[-MESSAGE_MAX:] or "it said nothing"
    return last or {"where": None, "error": f"what drives the migration has ended: {why}"}


def _result(server_id: str, said: Result, hosts: tuple[str, str]) -> Result:
    """Return the server's result, in the form that `apply` has; `hosts` are source, destination."""
    found = {
        "changed": bool(said.get("moved")),
        "failed": said.get("where") is None or bool(said.get("error")),
        "msg": str(said.get("error") or ""),
    }
    step = {
        "name": "Migrate the domain",
        "module": "novella.cloud.live_migration",
        **found,
        "diff": _diff(said, *hosts) if said.get("moved") else [],
        "result": {"where": said.get("where"), "downtime_ms": said.get("downtime_ms")},
    }
    return {"id": server_id, **found, "steps": [step]}


def _diff(said: Result, source: str, destination: str) -> list[Result]:
    """Return a diff of what the server's host is, with what was compared of the two."""
    after = [f"host: {destination}", *said.get("checks", [])]
    return [{"before": f"host: {source}\n", "after": "".join(f"{line}\n" for line in after)}]
