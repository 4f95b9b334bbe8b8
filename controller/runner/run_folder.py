"""A run's own folder in memory: inventory, pinned keys, arguments, secrets. Removed afterwards.

<runs_dir>/connections/           sockets of SSH connections that outlive a run
<runs_dir>/<worker>/<run id>/     (see leftovers.py)
    inventory/hosts.yml           the run's hosts and no others
    known_hosts                   their pinned keys
    arguments.yml                 without secrets
    secrets.yml                   the no_log dictionary
    items.jsonl                   results of a batch's items, as they end
    head-start/                   see head_start.py
    home/ artifacts/              Ansible's own
    output launch                 what it said; whether the fork server ran it
"""

import hashlib
import json
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller import ssh
from controller.errors import Unavailable
from controller.runner.requests import Run
from controller.runner.variables import write_variables
from controller.ssh import HostAccess

# The host's own, which has libvirt.
INTERPRETER = "/usr/bin/python3"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run."""

    path: Path
    inventory: Path
    arguments: Path
    secrets: Path
    home: Path
    item_results: Path
    known_hosts: Path
    connections: Path

    @property
    def head_start(self) -> Path:
        """What leads to a process on the host that waits for the run's play."""
        return self.path / "head-start"

    def control_path(self, host: HostAccess) -> Path:
        """Where the socket of the connection to `host` lies, while there is one."""
        return _control_path(host, self.connections)

    @property
    def force_complete(self) -> Path:
        """What is there once a migration of the run is to be over with."""
        return self.path / "force-complete"

    @property
    def launch_record(self) -> Path:
        """Where is noted whether the run was warm (see warm/client.py)."""
        return self.path / "launch"


def private_folder(path: Path) -> Path:
    """Return `path` as a folder that only we can read, made if need be.

    Raises Unavailable when it is somebody else's: /dev/shm is open to all, and whoever made the
    folder first could read every secret in it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Unavailable(
            f"Refused to keep runs in {path}: it isn't a folder that only user {os.getuid()} can "
            "read. Remove it, or set `runs_dir` to another place in memory."
        )
    return path


@contextmanager
def run_folder(own: Path, run: Run) -> Iterator[RunFolder]:
    """Yield the folder of `run` within the worker's `own`, filled.

    It is gone when the block is left, however it is left.
    """
    connections = private_folder(own.parent / "connections")
    path = own / run.id
    path.mkdir(mode=0o700)
    try:
        folder = RunFolder(
            path=path,
            inventory=path / "inventory" / "hosts.yml",
            arguments=path / "arguments.yml",
            secrets=path / "secrets.yml",
            home=path / "home",
            item_results=path / "items.jsonl",
            known_hosts=path / "known_hosts",
            connections=connections,
        )
        folder.home.mkdir()
        folder.inventory.parent.mkdir()
        folder.known_hosts.write_text(ssh.known_hosts(list(run.hosts)))
        # JSON is YAML; `.yml` because that is what people look for.
        folder.inventory.write_text(inventory_text(run.hosts, folder.known_hosts, connections))
        write_variables(folder.arguments, run.arguments)
        write_variables(folder.secrets, {"server_secrets": run.secrets} if run.secrets else {})
        yield folder
    finally:
        shutil.rmtree(path, ignore_errors=True)


def inventory_text(
    hosts: tuple[HostAccess, ...], known_hosts: Path, connections: Path | None
) -> str:
    """Return an inventory of `hosts`. `connections` None leaves it to Ansible where its
    connections lie: for who runs a playbook by hand.
    """
    entries = {host.name: _host_variables(host, known_hosts, connections) for host in hosts}
    return json.dumps({"all": {"children": {"compute_hosts": {"hosts": entries}}}}, indent=1)


def _host_variables(
    host: HostAccess, known_hosts: Path, connections: Path | None
) -> dict[str, Any]:
    own = {"ansible_control_path": str(_control_path(host, connections))} if connections else {}
    return {
        "ansible_become": host.user != "root",
        **host.variables,
        "ansible_host": host.address,
        "ansible_port": host.port,
        "ansible_user": host.user,
        "ansible_ssh_private_key_file": str(host.private_key),
        "ansible_ssh_common_args": shlex.join(ssh.options(host, known_hosts)),
        "ansible_python_interpreter": INTERPRETER,
        **own,
    }


def _control_path(host: HostAccess, connections: Path) -> Path:
    # The socket's name covers all that the connection depends on: a host enrolled anew, with other
    # keys, must not be reached over a connection that was opened to the old one.
    identity = [host.id, host.address, host.port, host.user, str(host.private_key), *host.host_keys]
    digest = hashlib.sha256("\n".join(map(str, identity)).encode()).hexdigest()[:16]
    return connections / digest
