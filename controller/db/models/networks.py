"""Networks: networks, subnets, ports, their addresses and the groups that filter them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from controller.db.base import Base, Id, Name, new_id, utcnow


class Network(Base):
    __tablename__ = "networks"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(Id, index=True)
    name: Mapped[str] = mapped_column(Name, default="")
    description: Mapped[str] = mapped_column(Name, default="")
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    external: Mapped[bool] = mapped_column(default=False)
    mtu: Mapped[int] = mapped_column(default=1500)
    # flat: the physical network itself; vlan: an id on it; vxlan: an id of the overlay between
    # hosts; local: isolated, of each host alone.
    network_type: Mapped[str] = mapped_column(String(16), default="flat")
    physical_network: Mapped[str | None] = mapped_column(String(64))
    segmentation_id: Mapped[int | None]
    # What of the wires it holds ("flat:physnet1", "vlan:physnet1:7", "vxlan:1001"), so that the
    # database settles a race for it; null for isolated networks, which hold none.
    segment: Mapped[str | None] = mapped_column(String(100), unique=True)
    # How ports are plugged into it on a host; see core.segments.DRIVERS.
    network_driver: Mapped[str] = mapped_column(String(32), default="bridge")
    port_security_enabled: Mapped[bool] = mapped_column(default=True)
    is_default: Mapped[bool] = mapped_column(default=False)
    # Rises with every change, as the API shows it.
    revision_number: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class Subnet(Base):
    __tablename__ = "subnets"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id"), index=True)
    project_id: Mapped[str] = mapped_column(Id, index=True)
    name: Mapped[str] = mapped_column(Name, default="")
    description: Mapped[str] = mapped_column(Name, default="")
    ip_version: Mapped[int] = mapped_column(default=4)
    cidr: Mapped[str] = mapped_column(String(64))
    gateway_ip: Mapped[str | None] = mapped_column(String(64))
    # True where the network's namespace carries the gateway; False where a physical router does.
    gateway_served: Mapped[bool] = mapped_column(default=False)
    enable_dhcp: Mapped[bool] = mapped_column(default=True)
    # The pool that it was cut from, if any.
    subnetpool_id: Mapped[str | None] = mapped_column(ForeignKey("subnet_pools.id"), index=True)
    # slaac, dhcpv6-stateful or dhcpv6-stateless: what routers say, and where addresses come from.
    ipv6_ra_mode: Mapped[str | None] = mapped_column(String(16))
    ipv6_address_mode: Mapped[str | None] = mapped_column(String(16))
    # The address of every host's own DHCP and metadata server in this subnet, held by a port.
    dhcp_ip: Mapped[str | None] = mapped_column(String(64))
    allocation_pools: Mapped[list[Any]] = mapped_column(default=list)
    dns_nameservers: Mapped[list[Any]] = mapped_column(default=list)
    host_routes: Mapped[list[Any]] = mapped_column(default=list)
    # Rises with every change, as the API shows it.
    revision_number: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class Port(Base):
    __tablename__ = "ports"
    __table_args__ = (UniqueConstraint("network_id", "mac_address"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    network_id: Mapped[str] = mapped_column(ForeignKey("networks.id"))
    project_id: Mapped[str] = mapped_column(Id, index=True)
    name: Mapped[str] = mapped_column(Name, default="")
    description: Mapped[str] = mapped_column(Name, default="")
    mac_address: Mapped[str] = mapped_column(String(17))
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    # ACTIVE, DOWN or BUILD
    status: Mapped[str] = mapped_column(String(16), default="DOWN")
    device_id: Mapped[str] = mapped_column(Name, default="", index=True)
    device_owner: Mapped[str] = mapped_column(Name, default="")
    # Which of its server's interfaces it is, from 0: guests count on the order that was asked for.
    device_position: Mapped[int] = mapped_column(default=0)
    # What its server's guest is told that the interface is for; chosen by the tenant.
    device_tag: Mapped[str | None] = mapped_column(String(60))
    # The host that the port is bound to, by its id; null while unbound.
    host_id: Mapped[str | None] = mapped_column(ForeignKey("hosts.id"), index=True)
    # The host that a live migration is bringing the port to: it carries its network already.
    next_host_id: Mapped[str | None] = mapped_column(ForeignKey("hosts.id"), index=True)
    port_security_enabled: Mapped[bool] = mapped_column(default=True)
    allowed_address_pairs: Mapped[list[Any]] = mapped_column(default=list)
    # {opt_name, opt_value, ip_version} each, checked by core.dhcp_options.
    extra_dhcp_opts: Mapped[list[Any]] = mapped_column(default=list)
    # What its guest is called in DNS; empty is by its address.
    dns_name: Mapped[str] = mapped_column(Name, default="")
    # True for a port that a server's create made, and that therefore goes with the server.
    made_by_server: Mapped[bool] = mapped_column(default=False)
    # Rises with every change, as the API shows it.
    revision_number: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class IPAllocation(Base):
    """One address of a subnet, taken by a port. The key makes taking it twice impossible."""

    __tablename__ = "ip_allocations"
    __table_args__ = (UniqueConstraint("subnet_id", "position"),)

    subnet_id: Mapped[str] = mapped_column(ForeignKey("subnets.id"), primary_key=True)
    ip_address: Mapped[str] = mapped_column(String(64), primary_key=True)
    # Its distance from the subnet's first address: what the search for a gap counts by. Null for an
    # IPv6 address farther away than is ever looked.
    position: Mapped[int | None] = mapped_column(BigInteger)
    port_id: Mapped[str] = mapped_column(ForeignKey("ports.id"), index=True)


class SecurityGroup(Base):
    __tablename__ = "security_groups"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(Id, index=True)
    name: Mapped[str] = mapped_column(Name)
    description: Mapped[str] = mapped_column(Name, default="")
    stateful: Mapped[bool] = mapped_column(default=True)
    # The project whose default group this is; unique, so two requests can't both make it.
    default_for: Mapped[str | None] = mapped_column(Id, unique=True)
    # Rises with every change, as the API shows it.
    revision_number: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(default=utcnow, onupdate=utcnow)


class SecurityGroupRule(Base):
    __tablename__ = "security_group_rules"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    security_group_id: Mapped[str] = mapped_column(ForeignKey("security_groups.id"), index=True)
    project_id: Mapped[str] = mapped_column(Id, index=True)
    direction: Mapped[str] = mapped_column(String(8))
    ethertype: Mapped[str] = mapped_column(String(4), default="IPv4")
    # As the API has it: tcp, udp, icmp, a number as text, or null for any.
    protocol: Mapped[str | None] = mapped_column(String(32))
    port_range_min: Mapped[int | None]
    port_range_max: Mapped[int | None]
    remote_ip_prefix: Mapped[str | None] = mapped_column(String(64))
    remote_group_id: Mapped[str | None] = mapped_column(ForeignKey("security_groups.id"))
    description: Mapped[str] = mapped_column(Name, default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class PortSecurityGroup(Base):
    __tablename__ = "port_security_groups"

    port_id: Mapped[str] = mapped_column(ForeignKey("ports.id"), primary_key=True)
    security_group_id: Mapped[str] = mapped_column(
        ForeignKey("security_groups.id"), primary_key=True, index=True
    )
