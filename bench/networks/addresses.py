"""Addresses per second: ports of a subnet with few and with many of its addresses used."""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, insert, text

from bench.load import DATABASES
from bench.report import Report
from controller.core import addresses, macs
from controller.db.models import Base, IPAllocation, Network, Port, Subnet
from controller.db.session import Database
from controller.settings import Settings
from lab.chaos.backing import backing

USED = (10, 60_000)
BASE = "10.0."


def measure(directory: Path, report: Report, rounds: int) -> None:
    """Have `rounds` ports given an address in each of two /16, each in a transaction of its own.

    They take turns, and a port goes again before the next one of its subnet comes.
    """
    for name, kind in DATABASES.items():
        folder = directory / kind
        folder.mkdir(parents=True)
        with backing(kind, "embedded") as servers:
            db = Database(servers.settings().get("database_url") or Settings(folder).db_url)
            try:
                Base.metadata.create_all(db.engine)
                _measure(db, report, name, rounds)
            finally:
                db.dispose()


def _measure(db: Database, report: Report, database: str, rounds: int) -> None:
    nets = {used: _Net(*_fill(db, used)) for used in USED}
    if database == "PostgreSQL":
        # It does so itself a minute later; until then it takes each subnet for a small one.
        with db.write() as session:
            session.execute(text("ANALYZE"))
    rates: dict[int, list[float]] = {used: [] for used in USED}
    for _ in range(rounds):
        for used, net in nets.items():
            rates[used].append(1 / net.allocate(db))
    for used, each in rates.items():
        report.add(f"addresses given, {used} of 65,533 used ({database})", "1/s", each)
    few, many = (statistics.median(rates[used]) for used in USED)
    report.add(f"addresses given, {USED[1]} used / {USED[0]} used ({database})", "x", [many / few])


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


@dataclass(frozen=True)
class _Net:
    network_id: str
    subnet_id: str

    def allocate(self, db: Database) -> float:
        """Return the seconds that a port with an address takes, its commit too; it goes again."""
        began = time.perf_counter()
        with db.write() as session:
            port = Port(network_id=self.network_id, project_id="p")
            macs.insert_with_mac(session, [port])
            addresses.allocate(session, session.get_one(Subnet, self.subnet_id), port.id)
            port_id = port.id
        took = time.perf_counter() - began
        with db.write() as session:
            addresses.release(session, [port_id])
            session.execute(delete(Port).where(Port.id == port_id))
        return took
