"""Where a network's files lie on a host, and who still uses the network there.

`<state_path>/networks/<network id>/`: dnsmasq.conf, leases, dhcp-hosts/<port id>,
dhcp-opts/<port id>, metadata/<address>.json, passwords/<server id>.<serial>.

`/run/novella/bridges/<bridge>/<port id>`: a port for whose sake the bridge is needed, from before
its first own file is there until it is deleted. Without it, a delete that finds nobody on the
network would remove what a create beside it has just made sure of. It goes at a boot, as bridges
do.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from . import work

STATE_PATH = "/var/lib/novella"
CLAIMS = "/run/novella/bridges"

# Folders that the services' users must get through.
PASSAGE_MODE = 0o711


@dataclass(frozen=True)
class NetworkFiles:
    """The paths of one network; `network_id` is checked before it becomes part of one."""

    network_id: str
    state_path: str = STATE_PATH

    def __post_init__(self) -> None:
        work.check_uuid(self.network_id, "Network id")

    @property
    def folder(self) -> str:
        return os.path.join(self.state_path, "networks", self.network_id)

    @property
    def dnsmasq_conf(self) -> str:
        return os.path.join(self.folder, "dnsmasq.conf")

    @property
    def leases(self) -> str:
        return os.path.join(self.folder, "leases")

    @property
    def dhcp_hosts(self) -> str:
        return os.path.join(self.folder, "dhcp-hosts")

    @property
    def dhcp_opts(self) -> str:
        """What single ports are told by DHCP besides: a file of options each."""
        return os.path.join(self.folder, "dhcp-opts")

    @property
    def metadata(self) -> str:
        return os.path.join(self.folder, "metadata")

    @property
    def passwords(self) -> str:
        """What guests have posted: `<server id>.<serial>`; see guest_metadata."""
        return os.path.join(self.folder, "passwords")

    def dhcp_host(self, port_id: str) -> str:
        return os.path.join(self.dhcp_hosts, work.check_uuid(port_id, "Port id"))

    def dhcp_opt(self, port_id: str) -> str:
        return os.path.join(self.dhcp_opts, work.check_uuid(port_id, "Port id"))

    def ports(self) -> set[str]:
        """Return the ids of the ports that have an address here."""
        return _entries(self.dhcp_hosts)


def claim(bridge: str, port_ids: list[str]) -> list[str]:
    """Record that these ports need `bridge`; return those that were not recorded before."""
    new = sorted(set(port_ids) - claimants(bridge))
    for port_id in new:
        path = os.path.join(CLAIMS, bridge, work.check_uuid(port_id, "Port id"))
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "w", encoding="ascii"):
            pass
    return new


def give_up(bridge: str, port_ids: list[str]) -> None:
    """Record that these ports need `bridge` no longer."""
    for port_id in port_ids:
        work.remove_file(os.path.join(CLAIMS, bridge, work.check_uuid(port_id, "Port id")))
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join(CLAIMS, bridge))


def claimants(bridge: str) -> set[str]:
    """Return the ids of the ports that need `bridge`."""
    return _entries(os.path.join(CLAIMS, bridge))


def _entries(folder: str) -> set[str]:
    try:
        return {name for name in os.listdir(folder) if work.UUID_RE.fullmatch(name)}
    except FileNotFoundError:
        return set()


def make_folder(path: str, mode: int, gid: int = 0) -> bool:
    """Have the folder `path` with `mode` and group `gid`; return whether that is a change.

    A group that changes is given to the files in it too: they were written for the old one.
    """
    try:
        os.makedirs(path, exist_ok=True)
        status = os.stat(path)
        if status.st_mode & 0o7777 == mode and status.st_gid == gid:
            return False
        os.chown(path, 0, gid)
        os.chmod(path, mode)
        for entry in os.listdir(path) if status.st_gid != gid else []:
            os.chown(os.path.join(path, entry), -1, gid, follow_symlinks=False)
    except OSError as error:
        raise work.WorkError(f"Cannot make the folder {path}: {error.strerror}.") from error
    return True
