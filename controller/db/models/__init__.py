"""All tables, a file for each noun."""

from controller.db.base import Base
from controller.db.models.compute import Flavor, Host, HostDrain, Keypair
from controller.db.models.identity import (
    AuthAttempt,
    Domain,
    Project,
    RevokedToken,
    Role,
    RoleAssignment,
    User,
)
from controller.db.models.images import Image, ImageTag
from controller.db.models.moves import Migration
from controller.db.models.network_extras import (
    AddressScope,
    NetworkShare,
    ResourceTag,
    SubnetPool,
)
from controller.db.models.networks import (
    IPAllocation,
    Network,
    Port,
    PortSecurityGroup,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
)
from controller.db.models.operations import Operation
from controller.db.models.placement import Allocation, Inventory, ResourceProvider
from controller.db.models.quotas import QuotaLimit
from controller.db.models.reconciling import PortDeparture, ReconcilerRound
from controller.db.models.routers import AgentGateway, AutoTopology, FloatingIP, Router
from controller.db.models.servers import Server, ServerAction, ServerEvent, ServerTag
from controller.db.models.setting import CloudSetting
from controller.db.models.snapshots import DiskSnapshot
from controller.db.models.workers import Worker

__all__ = [
    "AddressScope",
    "AgentGateway",
    "Allocation",
    "AuthAttempt",
    "AutoTopology",
    "Base",
    "CloudSetting",
    "DiskSnapshot",
    "Domain",
    "Flavor",
    "FloatingIP",
    "Host",
    "HostDrain",
    "IPAllocation",
    "Image",
    "ImageTag",
    "Inventory",
    "Keypair",
    "Migration",
    "Network",
    "NetworkShare",
    "Operation",
    "Port",
    "PortDeparture",
    "PortSecurityGroup",
    "Project",
    "QuotaLimit",
    "ReconcilerRound",
    "ResourceProvider",
    "ResourceTag",
    "RevokedToken",
    "Role",
    "RoleAssignment",
    "Router",
    "SecurityGroup",
    "SecurityGroupRule",
    "Server",
    "ServerAction",
    "ServerEvent",
    "ServerTag",
    "Subnet",
    "SubnetPool",
    "User",
    "Worker",
]
