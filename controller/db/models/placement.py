"""Placement: what each host has to give, and who has taken it."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, Name, new_id


class ResourceProvider(Base):
    """A source of resources. A compute host's provider has the host's own id."""

    __tablename__ = "resource_providers"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Name, unique=True)
    # Rises with every change of its inventories or allocations; claims compare and swap it.
    generation: Mapped[int] = mapped_column(default=0)


class Inventory(Base):
    __tablename__ = "inventories"

    provider_id: Mapped[str] = mapped_column(ForeignKey("resource_providers.id"), primary_key=True)
    # VCPU, MEMORY_MB, DISK_GB
    resource_class: Mapped[str] = mapped_column(String(64), primary_key=True)
    total: Mapped[int]
    reserved: Mapped[int] = mapped_column(default=0)
    min_unit: Mapped[int] = mapped_column(default=1)
    max_unit: Mapped[int]
    step_size: Mapped[int] = mapped_column(default=1)
    allocation_ratio: Mapped[float] = mapped_column(default=1.0)


class Allocation(Base):
    """A consumer (a server, or a clean-up that has not been confirmed yet) holds this much."""

    __tablename__ = "allocations"

    consumer_id: Mapped[str] = mapped_column(Id, primary_key=True)
    provider_id: Mapped[str] = mapped_column(
        ForeignKey("resource_providers.id"), primary_key=True, index=True
    )
    resource_class: Mapped[str] = mapped_column(String(64), primary_key=True)
    used: Mapped[int]
