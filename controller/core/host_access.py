"""How the controller reaches a host: address, its own key, the host's pinned keys."""

import contextlib
from pathlib import Path
from typing import Any

from controller import ssh
from controller.db.models import Host
from controller.settings import Settings
from controller.ssh import HostAccess


def private_key(settings: Settings) -> Path:
    """Return where the controller's SSH key lies; `.pub` beside it is what hosts are given."""
    return settings.ssh_dir / "id_ed25519"


def of_host(settings: Settings, host: Host) -> HostAccess:
    """Return what plays and reads need to reach the host."""
    return HostAccess(
        id=host.id,
        name=host.name,
        address=host.address,
        port=host.ssh_port,
        user=host.ssh_user,
        private_key=private_key(settings),
        host_keys=tuple(str(key) for key in host.host_keys),
        variables=_variables(host),
    )


def _variables(host: Host) -> dict[str, Any]:
    """Return the host's variables; with its tunnel's address where that isn't the one for SSH."""
    own = {} if host.tunnel_ip in (None, host.address) else {"compute_tunnel_ip": host.tunnel_ip}
    return own | dict(host.variables)


def ssh_command(settings: Settings, host: Host, *remote: str) -> list[str]:
    """Return the command line that runs `remote` on the host, for reads alone: changes are plays.

    `remote` goes through the host's shell: quote what comes from anybody. It runs as root there,
    as plays do.
    """
    access = of_host(settings, host)
    if access.user != "root":
        remote = ("sudo", "-n", *remote)
    return ssh.command(access, _known_hosts(settings, access), *remote)


def _known_hosts(settings: Settings, access: HostAccess) -> Path:
    """Return a file with the host's pinned keys, written anew when they changed."""
    path = settings.ssh_dir / "known_hosts" / access.id
    text = ssh.known_hosts([access])
    with contextlib.suppress(FileNotFoundError):
        if path.read_text() == text:
            return path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)
    return path
