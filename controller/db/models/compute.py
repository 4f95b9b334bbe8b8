"""Compute: hosts, flavors and key pairs."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, Name, new_id, utcnow


class Host(Base):
    """A machine that runs servers, reached over SSH with the key that was pinned at enrolment."""

    __tablename__ = "hosts"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Name, unique=True)
    address: Mapped[str] = mapped_column(Name)
    ssh_port: Mapped[int] = mapped_column(default=22)
    ssh_user: Mapped[str] = mapped_column(String(64), default="root")
    # Lines of known_hosts without the host's name: "ssh-ed25519 AAAA..."
    host_keys: Mapped[list[Any]] = mapped_column(default=list)
    compute_driver: Mapped[str] = mapped_column(String(32), default="libvirt")
    availability_zone: Mapped[str] = mapped_column(String(64), default="nova")
    # Variables for its plays, such as compute_flat_interfaces.
    variables: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # Where other hosts send frames of overlay networks to; null for a host that can't carry those.
    tunnel_ip: Mapped[str | None] = mapped_column(String(64))
    # What compute_host_info said last.
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    enabled: Mapped[bool] = mapped_column(default=True)
    disabled_reason: Mapped[str | None] = mapped_column(Name)
    forced_down: Mapped[bool] = mapped_column(default=False)
    # Since when it is known to run nothing, by whose word or playbook, and why; see
    # core.host_fences. Null again when it is back and has nothing left of evacuated servers.
    fenced_at: Mapped[datetime | None]
    fenced_by: Mapped[str | None] = mapped_column(Name)
    fenced_reason: Mapped[str | None] = mapped_column(Name)
    # Rises with every run about all of it, so that an older one is refused there.
    generation: Mapped[int] = mapped_column(default=0)
    # Why nothing is reaped there; see core.reaping.
    reaping_off: Mapped[str | None] = mapped_column(Name)
    # Null until it answered for the first time; see core.hosts.is_up.
    last_seen_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class HostDrain(Base):
    """The emptying of a host: what becomes of each of its servers, and how the host was before."""

    __tablename__ = "host_drains"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    # No foreign key: a host may be removed, and what was done stays. The name is of then.
    host_id: Mapped[str] = mapped_column(Id, index=True)
    host_name: Mapped[str] = mapped_column(Name)
    # One of core.host_drains: running, done, incomplete, cancelled.
    state: Mapped[str] = mapped_column(String(16), default="running", index=True)
    user_id: Mapped[str | None] = mapped_column(Id)
    reason: Mapped[str | None] = mapped_column(Name)
    was_enabled: Mapped[bool]
    was_disabled_reason: Mapped[str | None] = mapped_column(Name)
    # Server id -> {"name", "how", "status", "why", "tries", "migration_id", "destination"}.
    servers: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[datetime | None]


class Flavor(Base):
    __tablename__ = "flavors"

    id: Mapped[int] = mapped_column(primary_key=True)
    flavor_id: Mapped[str] = mapped_column(Name, unique=True)
    name: Mapped[str] = mapped_column(Name, unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    vcpus: Mapped[int]
    memory_mb: Mapped[int]
    disk_gb: Mapped[int]
    ephemeral_gb: Mapped[int] = mapped_column(default=0)
    swap_mb: Mapped[int] = mapped_column(default=0)
    rxtx_factor: Mapped[float] = mapped_column(default=1.0)
    is_public: Mapped[bool] = mapped_column(default=True)
    disabled: Mapped[bool] = mapped_column(default=False)
    extra_specs: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Keypair(Base):
    __tablename__ = "keypairs"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(Name)
    type: Mapped[str] = mapped_column(String(8), default="ssh")
    fingerprint: Mapped[str] = mapped_column(Name)
    public_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
