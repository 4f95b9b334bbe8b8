"""What tests of moves look at: records, what is held where, and what each host has of a server."""

from controller.core.context import Context
from controller.db.models import Allocation, Host, Migration
from controller.runner.simulated_hosts import SimulatedHost
from tests.unit.conductor.conftest import CONTEXT, Cloud

ADMIN = Context(CONTEXT.request_id, CONTEXT.user_id, CONTEXT.project_id, is_admin=True)


def migration_of(cloud: Cloud, server_id: str) -> Migration:
    """Return the record of the server's last move."""
    with cloud.db.read() as session:
        query = session.query(Migration).filter_by(server_id=server_id)
        return query.order_by(Migration.id.desc()).first()  # type: ignore[return-value]


def held(cloud: Cloud) -> dict[str, dict[str, int]]:
    """Return what is held: consumer -> provider -> memory."""
    found: dict[str, dict[str, int]] = {}
    with cloud.db.read() as session:
        for row in session.query(Allocation).filter_by(resource_class="MEMORY_MB"):
            found.setdefault(row.consumer_id, {})[row.provider_id] = row.used
    return found


def there(cloud: Cloud, host_id: str) -> SimulatedHost:
    return cloud.executor.hosts.hosts.setdefault(host_id, SimulatedHost())


def host_ids(cloud: Cloud) -> dict[str, str]:
    """Return the hosts' ids by their names."""
    with cloud.db.read() as session:
        return {row.name: row.id for row in session.query(Host)}


def other(cloud: Cloud, host_id: str | None) -> str:
    """Return the id of the one host beside this one."""
    (found,) = set(host_ids(cloud).values()) - {host_id}
    return found
