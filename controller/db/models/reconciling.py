"""What reconcilers keep: whose turn it is, and what once was on hosts."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, utcnow


class ReconcilerRound(Base):
    """When a reconciler is due, and who is at it: of several controllers one takes each round."""

    __tablename__ = "reconciler_rounds"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    next_at: Mapped[datetime] = mapped_column(default=utcnow)
    # Null while nobody is at it. As an operation's lease, but never renewed.
    owner: Mapped[str | None] = mapped_column(String(128))
    owned_until: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class PortDeparture(Base):
    """A port that was on a host for a server that is deleted: the record of its deletion.

    Ports go with their servers. What a host still has of one, bearing a part of its id, may only be
    removed if it stands here.
    """

    __tablename__ = "port_departures"

    port_id: Mapped[str] = mapped_column(Id, primary_key=True)
    server_id: Mapped[str] = mapped_column(ForeignKey("servers.id"), primary_key=True)
    # The part of its id that stands in the names of its tap and chains.
    short_id: Mapped[str] = mapped_column(String(16), index=True)
    # Without a foreign key: the network may be deleted before the host is clean.
    network_id: Mapped[str] = mapped_column(Id, index=True)
    mac_address: Mapped[str] = mapped_column(String(17))
    # Its addresses, as texts.
    addresses: Mapped[list[Any]] = mapped_column(default=list)
    left_at: Mapped[datetime] = mapped_column(default=utcnow)
