"""Networks: who shares them, where subnets are cut from, and words that resources are found by."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, Name, new_id, utcnow


class NetworkShare(Base):
    """A network is open to a project, or to all: an RBAC policy of the API."""

    __tablename__ = "network_shares"
    __table_args__ = (UniqueConstraint("network_id", "action", "target_project_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(Id, index=True)
    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id"))
    # access_as_shared: to put ports on it; access_as_external: as a router's way out.
    action: Mapped[str] = mapped_column(String(32))
    # "*" is all projects.
    target_project_id: Mapped[str] = mapped_column(Id, index=True)


class AddressScope(Base):
    """What addresses are unique in: subnet pools of one scope don't overlap."""

    __tablename__ = "address_scopes"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(Id, index=True)
    name: Mapped[str] = mapped_column(Name)
    ip_version: Mapped[int]
    shared: Mapped[bool] = mapped_column(default=False)


class SubnetPool(Base):
    """Prefixes that subnets are cut from."""

    __tablename__ = "subnet_pools"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(Id, index=True)
    name: Mapped[str] = mapped_column(Name)
    description: Mapped[str] = mapped_column(Name, default="")
    ip_version: Mapped[int]
    prefixes: Mapped[list[Any]] = mapped_column(default=list)
    default_prefixlen: Mapped[int]
    min_prefixlen: Mapped[int]
    max_prefixlen: Mapped[int]
    # Addresses (of IPv6, /64 prefixes) that a project may have of it; null is no limit.
    default_quota: Mapped[int | None]
    address_scope_id: Mapped[str | None] = mapped_column(ForeignKey("address_scopes.id"))
    shared: Mapped[bool] = mapped_column(default=False)
    is_default: Mapped[bool] = mapped_column(default=False)
    # Rises with every change, as the API shows it.
    revision_number: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class ResourceTag(Base):
    """A word that a network, subnet, port, router ... is found by; ids are single among all."""

    __tablename__ = "resource_tags"

    resource_id: Mapped[str] = mapped_column(Id, primary_key=True)
    tag: Mapped[str] = mapped_column(Name, primary_key=True, index=True)
