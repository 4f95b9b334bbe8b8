"""host_enroll: make a machine a host of this cloud. Safe to run again; it refreshes the host then.

The operator's own SSH access is used for the first contact alone. It pins the host's keys and lets
the controller's key in; from then on plays use that.
"""

import base64
import hashlib
import hmac
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from controller.conductor.worker import make_executor
from controller.core import host_access, hosts
from controller.db.base import new_id, utcnow
from controller.db.models import Host
from controller.db.session import Database
from controller.errors import BadRequest, Conflict, HostFailed
from controller.runner.requests import OK, Executor, HostResult, Run
from controller.settings import Settings
from controller.ssh import HostAccess

SCAN_TIMEOUT_S = 10
# The controller may still be installing packages on the host.
ENROLL_TIMEOUT_S = 1800
KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "ssh-rsa")


def enroll(
    settings: Settings,
    db: Database,
    name: str,
    address: str,
    *,
    ssh_port: int = 22,
    ssh_user: str = "root",
    private_key: Path | None = None,
    fingerprint: str | None = None,
    availability_zone: str | None = None,
    variables: Mapping[str, Any] | None = None,
    compute_driver: str = "libvirt",
    executor: Executor | None = None,
    progress: Callable[[str], None] | None = None,
) -> Host:
    """Enrol the machine at `address` as host `name`, and return its row.

    `private_key` is the operator's. None means the first of ssh's own default keys that is there,
    or the controller's key for a host that has let it in already. `fingerprint` (SHA256:...) must
    be that of one of the host's keys, if given. `variables` None leaves those that the host has;
    anything else takes their place. Raises BadRequest, Conflict when the host's keys
    are not those pinned, HostFailed when a play fails.
    """
    tell = progress or _print
    hosts.check_name(name)
    known = _known(db, name)
    tell(f"{name}: asking {address} port {ssh_port} for its SSH keys")
    keys = scan_keys(address, ssh_port)
    if fingerprint:
        keys = _of_fingerprint(name, keys, fingerprint)
    keys = _agreed(name, known, keys)
    for key in keys:
        tell(f"{name}: pinned {key.split()[0]} {fingerprint_of(key)}")
    public_key = controller_key(settings)
    with db.write() as session:
        host = hosts.enroll_record(
            session, name, address, ssh_port=ssh_port, ssh_user=ssh_user, host_keys=keys,
            compute_driver=compute_driver, availability_zone=availability_zone,
            variables=variables, tunnel_ip=_first_address(address),
        )  # fmt: skip
    own = executor or make_executor(settings)
    try:
        _play(settings, db, own, host, private_key, public_key, tell)
    finally:
        if executor is None:
            own.close()
    return host


def _first_address(address: str) -> str | None:
    """Return the IP address that a name stands for now; what hosts send frames to is no name."""
    try:
        return str(socket.getaddrinfo(address, None)[0][4][0])
    except OSError:
        return None


def scan_keys(address: str, port: int) -> list[str]:
    """Return the host's keys as lines without a name. Raises HostFailed when it shows none.

    What is seen now is trusted unless a fingerprint is given, as by ssh at a first log-in; what is
    pinned once is held to.
    """
    command = ["ssh-keyscan", "-T", str(SCAN_TIMEOUT_S), "-p", str(port)]
    command += ["-t", "ed25519,ecdsa,rsa", "--", address]
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=6 * SCAN_TIMEOUT_S, check=False
    )
    keys = [
        " ".join(line.split()[1:3]) for line in found.stdout.splitlines() if _is_key(line.split())
    ]
    if not keys:
        raise HostFailed(
            f"Cannot enrol {address}: no SSH server showed a key on port {port}. Check the "
            "address, the port and the firewalls between.",
            unreachable=True,
        )
    return sorted(set(keys))


def fingerprint_of(key: str) -> str:
    """Return the key's fingerprint as ssh-keygen -l shows it: SHA256:..."""
    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def controller_key(settings: Settings) -> str:
    """Return the controller's public SSH key; the pair is made once, readable by us alone."""
    path = host_access.private_key(settings)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "novella controller", "-f", path],
            check=True,
            stdin=subprocess.DEVNULL,
        )
    return path.with_suffix(".pub").read_text().strip()


def _is_key(words: list[str]) -> bool:
    return len(words) >= 3 and words[1] in KEY_TYPES and not words[0].startswith("#")


def _known(db: Database, name: str) -> list[str] | None:
    with db.read() as session:
        host = session.scalar(select(Host).where(Host.name == name))
        return None if host is None else [str(key) for key in host.host_keys]


def _of_fingerprint(name: str, keys: list[str], fingerprint: str) -> list[str]:
    """Return the one key that the operator vouched for; the others are not pinned."""
    chosen = [key for key in keys if hmac.compare_digest(fingerprint_of(key), fingerprint)]
    if not chosen:
        shown = ", ".join(fingerprint_of(key) for key in keys)
        raise Conflict(
            f"Refused to enrol host {name}: none of its keys has the fingerprint {fingerprint}; it "
            f"showed {shown}. Compare with the host's own (ssh-keygen -l); you may be talking to "
            "another machine."
        )
    return chosen


def _agreed(name: str, known: list[str] | None, shown: list[str]) -> list[str]:
    """Return the keys to pin: of a known host those that it had, as long as it still shows one."""
    if not known:
        return shown
    kept = [key for key in known if key in shown]
    if not kept:
        raise Conflict(
            f"Refused to enrol host {name} again: none of its SSH keys is the one that was pinned. "
            "If it was installed anew, enrol it with --fingerprint under another name, or remove "
            "the old host first."
        )
    return kept


def _play(
    settings: Settings,
    db: Database,
    executor: Executor,
    host: Host,
    private_key: Path | None,
    public_key: str,
    tell: Callable[[str], None],
) -> None:
    access = host_access.of_host(settings, host)
    chosen = private_key or (_default_key() if host.last_seen_at is None else None)
    first = replace(access, private_key=chosen.expanduser().resolve()) if chosen else access
    if not first.private_key.exists():
        raise BadRequest(
            f"Cannot enrol host {host.name}: no such key {first.private_key}. Name one that the "
            "host accepts with --private-key."
        )
    tell(f"{host.name}: preparing it (playbooks/host_enroll.yml); packages may take minutes")
    _run(executor, "host_enroll", first, {"controller_public_key": public_key})
    tell(f"{host.name}: logging in with the controller's own key")
    result = _run(executor, "host_info", access, {})
    with db.write() as session:
        row = hosts.get(session, host.id)
        hosts.record_facts(session, settings, row, result.facts, utcnow())
        facts = row.facts
    tell(
        f"{host.name}: {facts['cpus']} CPUs, {facts['memory_mb']} MiB, {facts['disk_gb']} GiB, "
        f"{facts.get('virt_type', 'unknown')}"
    )


def _run(
    executor: Executor,
    playbook: str,
    access: HostAccess,
    arguments: Mapping[str, Any],
) -> HostResult:
    result = executor.run(
        Run(
            id=new_id(),
            playbook=playbook,
            hosts=(access,),
            arguments=arguments,
            timeout_s=ENROLL_TIMEOUT_S,
            keep_as=(f"{playbook}-{access.name}",),
        )
    ).of(access.id)
    if result.status != OK:
        raise HostFailed(
            f"Cannot enrol host {access.name}: {playbook} ended {result.status}. {result.message}",
            unreachable=result.status == "unreachable",
        )
    return result


def _default_key() -> Path | None:
    """Return the key that ssh itself would try first."""
    folder = Path.home() / ".ssh"
    names = ("id_ed25519", "id_ecdsa", "id_rsa")
    return next((folder / name for name in names if (folder / name).exists()), None)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
