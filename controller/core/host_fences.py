"""Fences of hosts: what is known of a dead host's guests, and by whom it was said.

Unreachable is not dead: a host that answers nobody may still run its guests and write to their
disks. So a server is made anew elsewhere only with proof that its host runs nothing: the operator's
fence playbook succeeded, or an administrator said so. A proof holds until the host is heard of
again; from then on it is what the host says that counts.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import hosts, migrations
from controller.core.context import Context
from controller.db.models import Host, Migration
from controller.errors import BadRequest, Conflict
from controller.settings import Settings

# Who fenced a host, where no person did.
BY_PLAYBOOK = "playbook"
_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Proof:
    """Why a host is known to run nothing. `at` is naive UTC."""

    by: str
    reason: str
    at: datetime

    def as_json(self) -> dict[str, Any]:
        at = f"{self.at.replace(microsecond=0).isoformat()}Z"
        return {"by": self.by, "reason": self.reason, "at": at}


def proof_of(host: Host) -> Proof | None:
    """Return why the host is known to run nothing; None when it isn't, or was heard of since."""
    return None if was_heard_of_since(host) else said_of(host)


def said_of(host: Host) -> Proof | None:
    """Return what was said when the host was fenced, whether it still holds or not."""
    if host.fenced_at is None:
        return None
    return Proof(str(host.fenced_by), str(host.fenced_reason), host.fenced_at)


def was_heard_of_since(host: Host) -> bool:
    """Whether the host has answered after it was fenced."""
    seen, fenced = host.last_seen_at, host.fenced_at
    return seen is not None and fenced is not None and seen > fenced


def record_word(
    settings: Settings, context: Context, host: Host, by: str, reason: str, now: datetime
) -> None:
    """Record an administrator's word that the host runs nothing.

    Raises BadRequest without a name or a reason, Conflict while the host counts as up.
    """
    if not by.strip() or not reason.strip():
        raise BadRequest(
            f"Cannot take host {host.name} for fenced: say who has made sure that it runs nothing, "
            "and how."
        )
    if hosts.is_up(host, settings, now):
        raise Conflict(
            f"Cannot take host {host.name} for fenced: it answers, so it runs what it has. Switch "
            "it off and wait until it counts as down, or force it down first (`openstack compute "
            f"service set --down {host.name} nova-compute`)."
        )
    note(host, by=f"{by.strip()} ({context.user_id})" if context.user_id else by.strip(),
         reason=reason.strip(), now=now)  # fmt: skip


def note(host: Host, *, by: str, reason: str, now: datetime) -> None:
    """Write down that the host was fenced."""
    host.fenced_at, host.fenced_by = now, by[:_LENGTH]
    host.fenced_reason = reason[:_LENGTH]


def lift(host: Host) -> None:
    """The host may be anything again: it is back, or the word is taken back."""
    host.fenced_at = host.fenced_by = host.fenced_reason = None


def take_back(session: Session, host: Host) -> None:
    """Take back the word that the host was fenced. Raises Conflict once servers were evacuated.

    From then on it is lifted by itself, when the host is back and clean.
    """
    query = select(Migration.id).where(
        Migration.source_host_id == host.id,
        Migration.type == migrations.EVACUATION,
        Migration.status.in_((*migrations.UNDER_WAY, migrations.DONE)),
    )
    if session.scalar(query.limit(1)) is not None:
        raise Conflict(
            f"Cannot take back that host {host.name} was fenced: servers were evacuated from it. "
            "Start it; once it is back and has nothing left of them, it takes new servers."
        )
    lift(host)


def check_proof(session: Session, settings: Settings, host_id: str, server_id: str) -> None:
    """Refuse to make a server of the host anew elsewhere without proof. Raises Conflict.

    A fence playbook in the settings is proof to be: it runs first.
    """
    host = hosts.get(session, host_id)
    if settings.fence_playbook or proof_of(host) is not None:
        return
    said = (
        f"host {host.name} was fenced, but was heard of since"
        if host.fenced_at is not None
        else f"nothing proves that host {host.name} no longer runs it"
    )
    raise Conflict(
        f"Cannot evacuate server {server_id}: {said}, and it must not run twice. Switch the host "
        f"off, then say so: `novella host fenced {host.name} --by NAME --reason TEXT`, or PUT "
        f"/novella/v1/hosts/{host.name}/fence; or set `fence_playbook`. {what_becomes(settings)}"
    )


def what_becomes(settings: Settings) -> str:
    """Return what an evacuation does to a server's disk."""
    if settings.shared_instances_path:
        return "Its disk is on the hosts' shared file system, and is used again."
    return (
        "Its disk is on that host alone: elsewhere it is made anew of its image, and what was "
        "written to it since is left behind."
    )
