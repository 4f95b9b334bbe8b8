"""What the scheduler is asked, and what filters and weighers see of a host."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controller.db.models import Host
from controller.placement.candidates import Room

# Hosts that a record of a choice names.
NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class Segments:
    """What of the wires a server's networks stand on: physical networks, and the overlay."""

    flat: frozenset[str] = frozenset()
    vlan: frozenset[str] = frozenset()
    overlay: bool = False


@dataclass(frozen=True, slots=True)
class RequestSpec:
    """What a server needs. `resources` is by class (VCPU, MEMORY_MB, DISK_GB), in their units.

    `forced_host` is a host's name that an admin asked for; `tried` are the ids of hosts that
    failed it already. `now` is naive UTC.
    """

    resources: Mapping[str, int]
    now: datetime
    availability_zone: str | None = None
    forced_host: str | None = None
    image_properties: Mapping[str, Any] = field(default_factory=dict)
    segments: Segments = field(default_factory=Segments)
    tried: frozenset[str] = frozenset()
    # A host that was not seen for longer than this is down.
    down_after_s: float = 180.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host with room: its row, and what it has of each class that was asked for."""

    host: Host
    rooms: Mapping[str, Room]

    def free(self, resource_class: str) -> float:
        """Return what is left of the class, 0 for one that was not asked for."""
        room = self.rooms.get(resource_class)
        return room.free if room else 0.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The hosts that fit, best first, and how many each filter rejected, in the filters' order."""

    candidates: list[Candidate]
    rejected: dict[str, int]

    def record(self) -> dict[str, Any]:
        """Return what operators are told of the choice: the names of the best, and the counts."""
        best = [each.host.name for each in self.candidates[:NAMED_MAX]]
        return {"best": best, "fitting": len(self.candidates), "rejected": dict(self.rejected)}
