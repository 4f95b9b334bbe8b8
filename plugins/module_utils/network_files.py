"""Where a network's files lie on a host, and who still uses the network there.

`<state_path>/networks/<network id>/`: dnsmasq.conf, leases, dhcp-hosts/<port id>,
metadata/<address>.json. `/run/novella/networks/<network id>/<port id>`: a port that is being
plugged or is. The latter goes at a boot, as bridges and namespaces do.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from . import work

STATE_PATH = "/var/lib/novella"
CLAIMS = "/run/novella/networks"

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
    def metadata(self) -> str:
        return os.path.join(self.folder, "metadata")

    def dhcp_host(self, port_id: str) -> str:
        return os.path.join(self.dhcp_hosts, work.check_uuid(port_id, "Port id"))

    @property
    def claims(self) -> str:
        return os.path.join(CLAIMS, self.network_id)

    def claim(self, port_id: str) -> str:
        return os.path.join(self.claims, work.check_uuid(port_id, "Port id"))

    def users(self, without: list[str]) -> list[str]:
        """Return the ports that use the network here, sorted, except for those of `without`."""
        found = set(_entries(self.dhcp_hosts)) | set(_entries(self.claims))
        return sorted(found - set(without))

    def take(self, port_ids: list[str]) -> None:
        """Record that these ports use the network, before the first of their own files is there."""
        for port_id in port_ids:
            path = self.claim(port_id)
            os.makedirs(self.claims, mode=0o755, exist_ok=True)
            with open(path, "w", encoding="ascii"):
                pass

    def give_up(self, port_ids: list[str]) -> None:
        for port_id in port_ids:
            work.remove_file(self.claim(port_id))
        with contextlib.suppress(OSError):
            os.rmdir(self.claims)


def _entries(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if work.UUID_RE.fullmatch(name)]
    except FileNotFoundError:
        return []


def make_folder(path: str, mode: int, gid: int = 0) -> bool:
    """Have the folder `path` with `mode` and group `gid`; return whether that is a change."""
    try:
        os.makedirs(path, exist_ok=True)
        status = os.stat(path)
        if status.st_mode & 0o7777 == mode and status.st_gid == gid:
            return False
        os.chown(path, 0, gid)
        os.chmod(path, mode)
    except OSError as error:
        raise work.WorkError(f"Cannot make the folder {path}: {error.strerror}.") from error
    return True
