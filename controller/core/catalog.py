"""The catalog: what services there are and where. It follows from the settings alone."""

import uuid
from dataclasses import dataclass

from controller.settings import Settings

INTERFACES = ("public", "internal", "admin")


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `path` is what follows the cloud's address in its endpoints."""

    name: str
    type: str
    path: str
    description: str

    @property
    def id(self) -> str:
        return _fixed_id(self.type)


@dataclass(frozen=True, slots=True)
class Endpoint:
    id: str
    service: Service
    interface: str
    region: str
    url: str


SERVICES = (
    Service("keystone", "identity", "/identity/v3", "Identity"),
    Service("glance", "image", "/image", "Images"),
    Service("neutron", "network", "/network", "Networks"),
    Service("nova", "compute", "/compute/v2.1", "Compute"),
    Service("placement", "placement", "/placement", "Placement"),
)


def endpoints(settings: Settings, root: str) -> list[Endpoint]:
    """Return every endpoint below the cloud's address `root`, the same for all interfaces."""
    return [
        Endpoint(
            id=_fixed_id(f"{settings.region}/{service.type}/{interface}"),
            service=service,
            interface=interface,
            region=settings.region,
            url=root + service.path,
        )
        for service in SERVICES
        for interface in INTERFACES
    ]


def _fixed_id(name: str) -> str:
    """Return an id that stays the same for the same name, as nothing here has a row."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"novella:{name}").hex
