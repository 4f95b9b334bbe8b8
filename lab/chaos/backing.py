"""What the cloud stands on: SQLite and wake-ups on one machine, or servers that can be killed."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from lab.broker import Broker, rabbitmq
from lab.database_servers import DatabaseServer, postgresql
from lab.progress import step

DATABASES = ("sqlite", "postgresql")
QUEUES = ("embedded", "rabbitmq")


@dataclass(frozen=True, slots=True)
class Backing:
    """None is what the controller has by itself: SQLite, and no broker."""

    database: DatabaseServer | None = None
    broker: Broker | None = None

    @property
    def database_kind(self) -> str:
        return DATABASES[self.database is not None]

    @property
    def queue_kind(self) -> str:
        return QUEUES[self.broker is not None]

    def settings(self) -> dict[str, str]:
        """Return the controller's settings that choose it."""
        chosen = {}
        if self.database is not None:
            chosen["database_url"] = self.database.url
        if self.broker is not None:
            chosen["queue_url"] = self.broker.url
        return chosen

    def roots(self) -> dict[int, str]:
        """Return the first process of each server, with the server's name."""
        found = {}
        if self.database is not None and self.database.server.process is not None:
            found[self.database.server.process.pid] = self.database_kind
        if self.broker is not None and self.broker.server.process is not None:
            found[self.broker.server.process.pid] = self.queue_kind
        return found


@contextlib.contextmanager
def backing(database: str, queue: str) -> Iterator[Backing]:
    """Give the servers of these kinds (of DATABASES and QUEUES), running."""
    with contextlib.ExitStack() as servers:
        database_server = broker = None
        if database == "postgresql":
            with step("start PostgreSQL"):
                database_server = servers.enter_context(postgresql())
        if queue == "rabbitmq":
            with step("start RabbitMQ"):
                broker = servers.enter_context(rabbitmq())
        yield Backing(database_server, broker)
