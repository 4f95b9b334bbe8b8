"""How a host is reached over SSH: its pinned keys and the options that hold ssh to them.

Below core and runner, because plays and the few reads without a play (console output) must be
equally strict about whom they talk to.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class HostAccess:
    """One host as a run or a read sees it.

    `id` is the alias under which its keys are pinned, so that neither a changed address nor a port
    makes ssh look elsewhere. `host_keys` are lines without a name: "ssh-ed25519 AAAA...".
    """

    id: str
    name: str
    address: str
    private_key: Path
    host_keys: tuple[str, ...]
    port: int = 22
    user: str = "root"
    variables: dict[str, Any] = field(default_factory=dict)


def known_hosts(hosts: list[HostAccess]) -> str:
    """Return the text of a known_hosts file that has the keys of `hosts` and nothing else."""
    return "".join(f"{host.id} {key}\n" for host in hosts for key in host.host_keys)


def options(host: HostAccess, known_hosts_path: Path, connect_timeout_s: int = 10) -> list[str]:
    """Return ssh's options: the pinned keys and the given private key, nobody's own files."""
    settings = {
        "UserKnownHostsFile": str(known_hosts_path),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": host.id,
        "UpdateHostKeys": "no",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "BatchMode": "yes",
        "ConnectTimeout": str(connect_timeout_s),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
    }
    # ~/.ssh/config of whoever runs us must not decide where a host is.
    return ["-F", "/dev/null", *(part for pair in settings.items() for part in _option(*pair))]


def command(host: HostAccess, known_hosts_path: Path, *remote: str) -> list[str]:
    """Return the words that run `remote`, which goes through the host's shell: quote it."""
    return [
        "ssh", *options(host, known_hosts_path), "-i", str(host.private_key), "-p", str(host.port),
        "-l", host.user, "--", host.address, *remote,
    ]  # fmt: skip


def _option(name: str, value: str) -> tuple[str, str]:
    return "-o", f"{name}={value}"
