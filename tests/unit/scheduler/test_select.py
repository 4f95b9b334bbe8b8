"""The choice of a host: filters, weights, and what is said of those that were rejected."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.db.base import Base, utcnow
from controller.db.models import Host
from controller.db.session import Database
from controller.errors import BadRequest
from controller.placement import allocations, inventories, providers
from controller.placement.inventories import Amount
from controller.scheduler.select import select
from controller.scheduler.spec import RequestSpec, Segments, Selection
from controller.settings import Settings

NOW = utcnow()
SPEC = RequestSpec(resources={"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 1}, now=NOW)


class Hosts:
    def __init__(self, db: Database, settings: Settings) -> None:
        self.db, self.settings = db, settings

    def add(self, name: str, memory_mb: int = 8192, **values: Any) -> None:
        """Add a host whose id is its name."""
        with self.db.write() as session:
            values.setdefault("last_seen_at", NOW)
            session.add(Host(id=name, name=name, address=name, **values))
            providers.ensure(session, name, name)
            amounts = {"VCPU": Amount(8), "MEMORY_MB": Amount(memory_mb), "DISK_GB": Amount(100)}
            inventories.replace(session, name, amounts)

    def select(self, **changes: Any) -> Selection:
        with self.db.read() as session:
            return select(session, self.settings, replace(SPEC, **changes))

    def names(self, **changes: Any) -> list[str]:
        return [each.host.name for each in self.select(**changes).candidates]


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        settings = Settings(state_dir=Path(path))
        db = Database(settings.db_url)
        Base.metadata.create_all(db.engine)
        yield Hosts(db, settings)
        db.dispose()


def test_the_host_with_most_free_resources_is_first(hosts: Hosts) -> None:
    hosts.add("small", 2048)
    hosts.add("large", 8192)
    assert hosts.names() == ["large", "small"]
    with hosts.db.write() as session:
        allocations.claim(session, "s1", "large", {"VCPU": 6, "MEMORY_MB": 7168, "DISK_GB": 50})
    assert hosts.names() == ["small", "large"]


def test_ties_break_by_id(hosts: Hosts) -> None:
    for name in ("c", "a", "b"):
        hosts.add(name)
    assert hosts.names() == ["a", "b", "c"]


def test_each_filter_tells_how_many_it_rejected(hosts: Hosts) -> None:
    hosts.add("full", 100)
    hosts.add("tried")
    hosts.add("disabled", enabled=False)
    hosts.add("forced-down", forced_down=True)
    hosts.add("silent", last_seen_at=NOW - timedelta(hours=1))
    hosts.add("never-seen", last_seen_at=None)
    hosts.add("other-zone", availability_zone="elsewhere")
    hosts.add("not-asked-for")
    hosts.add("arm", facts={"architecture": "aarch64"})
    selection = hosts.select(
        availability_zone="nova", forced_host="arm", tried=frozenset({"tried"}),
        image_properties={"hw_architecture": "x86_64"},
    )  # fmt: skip
    assert selection.candidates == []
    assert selection.rejected == {
        "Resources": 1,
        "AlreadyTried": 1,
        "Enabled": 4,
        "AvailabilityZone": 1,
        "ForcedHost": 1,
        "Virtualization": 1,
        "PhysicalNetwork": 0,
    }


def test_an_architecture_goes_by_any_of_its_names(hosts: Hosts) -> None:
    hosts.add("pc", facts={"architecture": "x86_64"})
    hosts.add("says-nothing")
    assert hosts.names(image_properties={"hw_architecture": "AMD64"}) == ["pc", "says-nothing"]
    assert hosts.names(image_properties={"img_hv_type": "vmware"}) == []


def test_a_host_needs_an_interface_into_the_networks_of_the_ports(hosts: Hosts) -> None:
    hosts.add("connected", variables={"compute_flat_interfaces": {"physnet1": "eth1"}})
    hosts.add("isolated")
    assert hosts.names(segments=Segments(flat=frozenset({"physnet1"}))) == ["connected"]
    assert hosts.names() == ["connected", "isolated"]


def test_a_host_needs_vlans_and_an_address_for_the_overlay(hosts: Hosts) -> None:
    flat = {"compute_flat_interfaces": {"physnet1": "eth1"}}
    hosts.add("trunk", variables={"compute_vlan_interfaces": {"physnet1": "eth2"}})
    hosts.add("flat", variables=flat, facts={"vlan": True})
    hosts.add("bare", variables=flat, facts={"vlan": False})
    hosts.add("tunnel", tunnel_ip="192.0.2.9")
    assert hosts.names(segments=Segments(vlan=frozenset({"physnet1"}))) == ["flat", "trunk"]
    assert hosts.names(segments=Segments(overlay=True)) == ["tunnel"]
    rejected = hosts.select(segments=Segments(vlan=frozenset({"physnet2"}))).rejected
    assert rejected["PhysicalNetwork"] == 4


def test_a_host_is_up_until_it_missed_several_heartbeats(hosts: Hosts) -> None:
    hosts.add("late", last_seen_at=NOW - timedelta(seconds=100))
    assert hosts.names(down_after_s=180.0) == ["late"]
    assert hosts.names(down_after_s=90.0) == []


def test_filters_and_weighers_are_found_by_name(hosts: Hosts) -> None:
    hosts.add("a", enabled=False)
    hosts.settings = replace(hosts.settings, scheduler_filters=(), scheduler_weighers=())
    assert hosts.names() == ["a"]
    hosts.settings = replace(hosts.settings, scheduler_filters=("Enabeld",))
    with pytest.raises(BadRequest, match="There are: AvailabilityZone, Enabled, ForcedHost"):
        hosts.names()
