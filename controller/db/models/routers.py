"""Routers and floating IPs. A router's interfaces and its gateway are ports that name it."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, Name, new_id, utcnow


class Router(Base):
    __tablename__ = "routers"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(Id, index=True)
    name: Mapped[str] = mapped_column(Name, default="")
    description: Mapped[str] = mapped_column(Name, default="")
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    # The port that has its own addresses on an external network; null without a gateway.
    gateway_port_id: Mapped[str | None] = mapped_column(ForeignKey("ports.id"), index=True)
    enable_snat: Mapped[bool] = mapped_column(default=True)
    # {"destination", "nexthop"} each, in plain form.
    routes: Mapped[list[Any]] = mapped_column(default=list)
    # Rises with every change, as the API shows it.
    revision_number: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class FloatingIP(Base):
    """An address of an external network that stands for a port's own, while it has a port."""

    __tablename__ = "floating_ips"
    # An address of a port has at most one floating IP of a network; nulls are not compared.
    __table_args__ = (
        UniqueConstraint(
            "fixed_port_id",
            "floating_network_id",
            "fixed_ip_address",
            name="uq_floating_ips_fixed_port_id_network_address",
        ),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(Id, index=True)
    description: Mapped[str] = mapped_column(Name, default="")
    floating_network_id: Mapped[str] = mapped_column(ForeignKey("networks.id"), index=True)
    # The port that holds the address on the external network.
    floating_port_id: Mapped[str] = mapped_column(ForeignKey("ports.id"), unique=True)
    floating_ip_address: Mapped[str] = mapped_column(String(64), index=True)
    # What it stands for, and the router that it goes through; null while it stands for nothing.
    fixed_port_id: Mapped[str | None] = mapped_column(ForeignKey("ports.id"))
    fixed_ip_address: Mapped[str | None] = mapped_column(String(64))
    router_id: Mapped[str | None] = mapped_column(ForeignKey("routers.id"), index=True)
    # ACTIVE while it is in effect on the host of its port, else DOWN.
    status: Mapped[str] = mapped_column(String(16), default="DOWN")
    # Rises with every change, as the API shows it.
    revision_number: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class AutoTopology(Base):
    """What "get me a network" made for a project. The key makes having two impossible."""

    __tablename__ = "auto_topologies"

    project_id: Mapped[str] = mapped_column(Id, primary_key=True)
    # Without its network it is gone.
    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id"), unique=True)
    # Null once the tenant has deleted it by itself.
    router_id: Mapped[str | None] = mapped_column(ForeignKey("routers.id"), unique=True)


class AgentGateway(Base):
    """A host's own address on an external network. The key makes having two impossible."""

    __tablename__ = "agent_gateways"

    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id"), primary_key=True)
    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id"), primary_key=True, index=True)
    port_id: Mapped[str] = mapped_column(ForeignKey("ports.id"), unique=True)
