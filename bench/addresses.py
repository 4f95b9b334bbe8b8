"""Addresses per second: ports of a subnet with few and with many of its addresses used."""

import time
from pathlib import Path

from sqlalchemy import insert

from bench.report import Report
from controller.core import addresses, macs
from controller.db.models import Base, IPAllocation, Network, Port, Subnet
from controller.db.session import Database
from controller.settings import Settings

USED = (10, 60_000)
BASE = "10.0."


def measure(directory: Path, report: Report, rounds: int) -> None:
    """Have `rounds` ports given an address in a /16, each in a transaction of its own."""
    for used in USED:
        folder = directory / str(used)
        folder.mkdir(parents=True)
        settings = Settings(state_dir=folder)
        db = Database(settings.db_url)
        Base.metadata.create_all(db.engine)
        network_id, subnet_id = _fill(db, used)
        rates = [1 / _allocate(db, network_id, subnet_id) for _ in range(rounds)]
        report.add(f"addresses given, {used} of 65,533 used", "per second", rates)
        db.dispose()


def _fill(db: Database, used: int) -> tuple[str, str]:
    with db.write() as session:
        network = Network(project_id="p", network_type="local")
        session.add(network)
        session.flush()
        pools = [{"start": f"{BASE}0.2", "end": f"{BASE}255.254"}]
        subnet = Subnet(
            network_id=network.id, project_id="p", cidr=f"{BASE}0.0/16", allocation_pools=pools
        )
        holder = Port(network_id=network.id, project_id="p", mac_address="fa:16:3e:00:00:01")
        session.add_all([subnet, holder])
        session.flush()
        rows = [
            {
                "subnet_id": subnet.id,
                "ip_address": f"{BASE}{position >> 8}.{position & 255}",
                "position": position,
                "port_id": holder.id,
            }
            for position in range(2, 2 + used)
        ]
        session.execute(insert(IPAllocation), rows)
        return network.id, subnet.id


def _allocate(db: Database, network_id: str, subnet_id: str) -> float:
    """Return the seconds that a port with an address takes, its commit too."""
    began = time.perf_counter()
    with db.write() as session:
        port = Port(network_id=network_id, project_id="p")
        macs.insert_with_mac(session, [port])
        addresses.allocate(session, session.get_one(Subnet, subnet_id), port.id)
    return time.perf_counter() - began
