"""What the database knows for the metrics, by a fixed number of statements at each scrape."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import and_, case, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from controller.core import hosts, workers
from controller.core.operations import QUEUED, UNFINISHED
from controller.db.models import Operation, Server
from controller.db.session import Database
from controller.settings import Settings
from controller.states import LIVING


class Gauges(Collector):
    """Queue, servers, hosts and workers as they are now."""

    def __init__(self, settings: Settings, db: Database, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._db = db
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        now = self._clock()
        try:
            with self._db.read() as session:
                found = [
                    *_operations(session, now),
                    _servers(session),
                    self._hosts(session, now),
                    GaugeMetricFamily(
                        "novella_queue_max_operations",
                        "Actions that may wait for a worker before more are refused.",
                        self._settings.queue_max,
                    ),
                    GaugeMetricFamily(
                        "novella_workers",
                        "Workers that were at work lately.",
                        workers.count(session, now),
                    ),
                ]
        except SQLAlchemyError as error:
            # The scrape still brings what the processes counted.
            self._db.outages.note("a scrape of metrics", error)
            found = []
        yield GaugeMetricFamily(
            "novella_database_up", "Whether the database answered this scrape.", bool(found)
        )
        yield from found

    def _hosts(self, session: Session, now: datetime) -> Metric:
        counts = {"up": 0, "down": 0, "disabled": 0}
        for host in hosts.list_hosts(session):
            up = hosts.is_up(host, self._settings, now)
            counts["down" if not up else "up" if host.enabled else "disabled"] += 1
        return _family("novella_hosts", "Hosts by state.", ["state"], counts)


def _operations(session: Session, now: datetime) -> list[Metric]:
    """Return what is queued and what runs, and how long the oldest that could start has waited."""
    may_start = and_(Operation.state == QUEUED, Operation.not_before <= now)
    query = (
        select(
            Operation.kind,
            Operation.state,
            func.count(),
            func.min(case((may_start, Operation.created_at))),
        )
        .where(Operation.state.in_(UNFINISHED))
        .group_by(Operation.kind, Operation.state)
    )
    counts: dict[Any, float] = {}
    oldest = now
    for kind, state, count, waits_since in session.execute(query):
        counts[kind, state] = count
        oldest = min(oldest, waits_since or now)
    return [
        _family(
            "novella_operations",
            "Operations that have not ended, by kind and state.",
            ["operation", "state"],
            counts,
        ),
        GaugeMetricFamily(
            "novella_queue_oldest_seconds",
            "Age of the oldest operation that waits for a worker.",
            (now - oldest).total_seconds(),
        ),
    ]


def _servers(session: Session) -> Metric:
    query = (
        select(Server.state, func.count()).where(Server.deleted_at.is_(None)).group_by(Server.state)
    )
    counts: dict[Any, float] = dict.fromkeys(sorted(LIVING), 0)
    for state, count in session.execute(query):
        counts[state] = count
    return _family("novella_servers", "Servers by state.", ["state"], counts)


def _family(name: str, text: str, labels: list[str], counts: dict[Any, Any]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, count in counts.items():
        family.add_metric(list(key) if isinstance(key, tuple) else [key], count)
    return family
