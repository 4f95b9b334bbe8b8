"""Drains go on: servers leave their host in bounded batches, and what was moved is confirmed.

Each round looks at rows alone (the drain's, the servers', their migrations') and begins what is
due, in one transaction for each drain: whoever does the next round goes on from there.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from controller.core import host_drains, migrations, server_moves, server_shelve
from controller.core.context import Context
from controller.core.host_drains import (
    CANCELLED,
    CANNOT,
    DONE,
    FAILED,
    GONE,
    INCOMPLETE,
    LIVE,
    MOVED,
    MOVING,
    OFFLOAD,
    RUNNING,
    WAIT,
    WAITING,
)
from controller.core.operations import UNFINISHED
from controller.db.base import new_id
from controller.db.models import Host, HostDrain, Migration, Operation, Server
from controller.db.session import Database
from controller.errors import NovellaError
from controller.settings import Settings
from controller.states import RESIZED

log = logging.getLogger(__name__)

INTERVAL_S = 1.0
# Of one server's move, and of the confirm of one.
TRIES = 2
CONFIRMS = 3

Entry = dict[str, Any]


def run(settings: Settings, db: Database, clock: Callable[[], datetime]) -> int:
    """Bring each drain forward, and return how many there are to be looked at again."""
    with db.read() as session:
        query = select(HostDrain).where(
            or_(HostDrain.state == RUNNING, HostDrain.state == CANCELLED)
        )
        ids = [drain.id for drain in session.scalars(query) if _is_open(drain)]
    for drain_id in ids:
        with db.write() as session:
            drain = session.get_one(HostDrain, drain_id, with_for_update=True)
            if _is_open(drain):
                _Round(settings, session, drain, clock()).go_on()
    return len(ids)


def _is_open(drain: HostDrain) -> bool:
    """Whether there is something to do: a cancelled one still has its last moves confirmed."""
    return drain.state == RUNNING or any(
        entry["status"] == MOVING for entry in drain.servers.values()
    )


class _Round:
    """One look at one drain, within one transaction."""

    def __init__(
        self, settings: Settings, session: Session, drain: HostDrain, now: datetime
    ) -> None:
        self._settings, self._session, self._drain, self._now = settings, session, drain, now
        self._entries: dict[str, Entry] = {
            server_id: dict(entry) for server_id, entry in drain.servers.items()
        }

    def go_on(self) -> None:
        host = self._session.get(Host, self._drain.host_id)
        for server_id, entry in self._entries.items():
            if entry["status"] == MOVING:
                self._follow(server_id, entry)
        if self._drain.state == RUNNING:
            if host is None or host.enabled:
                log.warning("the drain of host %s ends: it was enabled", self._drain.host_name)
                host_drains.end(self._drain, CANCELLED, self._now)
            else:
                self._begin_more(host)
                self._end_if_over(host)
        self._drain.servers = self._entries

    # --- those that move ---------------------------------------------------------------------

    def _follow(self, server_id: str, entry: Entry) -> None:
        server = self._session.get_one(Server, server_id, with_for_update=True)
        if server.deleted_at is not None:
            entry |= {"status": GONE, "why": "it was deleted"}
        elif entry["how"] == OFFLOAD:
            self._follow_offload(server, entry)
        else:
            self._follow_move(server, entry)

    def _follow_move(self, server: Server, entry: Entry) -> None:
        migration = self._session.get_one(Migration, entry["migration_id"])
        if migration.status in (migrations.CONFIRMED, migrations.COMPLETED):
            entry |= {"status": MOVED, "why": "", "destination": migration.dest_host}
        elif migration.status == migrations.FINISHED:
            if server.state == RESIZED and server.task_state is None:
                self._confirm(server, entry)
        elif migration.status not in (
            *migrations.UNDER_WAY, migrations.CONFIRMING, migrations.REVERTING,
        ):  # fmt: skip
            self._try_again(server, entry)

    def _confirm(self, server: Server, entry: Entry) -> None:
        """Confirm the cold move, which nobody else is going to."""
        entry["confirms"] = entry.get("confirms", 0) + 1
        if entry["confirms"] > CONFIRMS:
            entry |= {"status": FAILED, "why": f"its move is not confirmed: {self._said(server)}"}
            return
        why = self._begun(lambda: server_moves.confirm(
            self._session, self._settings, self._context(server), server
        ))  # fmt: skip
        if why:
            entry |= {"why": why, "confirms": entry["confirms"] - 1}

    def _follow_offload(self, server: Server, entry: Entry) -> None:
        if server.host_id != self._drain.host_id:
            entry |= {"status": MOVED, "why": ""}
        elif server.task_state is None:
            self._try_again(server, entry)

    def _try_again(self, server: Server, entry: Entry) -> None:
        """The move has failed, or was taken back: the server is where it was."""
        entry["tries"] = entry.get("tries", 0) + 1
        entry["live_failed"] = entry["how"] == LIVE or entry.get("live_failed", False)
        entry["why"] = self._said(server)
        entry["status"] = FAILED if entry["tries"] >= TRIES else WAITING
        log.warning(
            "the drain of host %s: server %s did not move: %s",
            self._drain.host_name, server.id, entry["why"],
        )  # fmt: skip

    def _said(self, server: Server) -> str:
        """Return why the server's last operation failed, for operators."""
        query = select(Operation).where(
            Operation.server_id == server.id, Operation.error.is_not(None),
            Operation.state.not_in(UNFINISHED),
        )  # fmt: skip
        last = self._session.scalar(query.order_by(Operation.finished_at.desc()).limit(1))
        error = (last.error or {}) if last else {}
        return str(error.get("details") or error.get("message") or "it was taken back")[:500]

    # --- those that are to go ----------------------------------------------------------------

    def _begin_more(self, host: Host) -> None:
        moving = sum(entry["status"] == MOVING for entry in self._entries.values())
        for server in host_drains.servers_on(self._session, host):
            entry = self._entries.setdefault(server.id, {"name": server.name, "how": WAIT})
            if entry.get("status") == MOVING or entry.get("tries", 0) >= TRIES:
                continue
            entry["how"], why = host_drains.way_of(
                server, live_failed=bool(entry.get("live_failed"))
            )
            if entry["how"] in (WAIT, CANNOT):
                entry |= {"status": WAITING if entry["how"] == WAIT else FAILED, "why": why}
                continue
            entry["status"] = WAITING
            if moving < self._settings.drain_batch and self._begin(server, entry):
                moving += 1

    def _begin(self, server: Server, entry: Entry) -> bool:
        self._session.refresh(server, with_for_update=True)
        why = self._begun(lambda: self._move(server, entry))
        entry |= {"status": WAITING if why else MOVING, "why": why}
        return not why

    def _move(self, server: Server, entry: Entry) -> None:
        if entry["how"] == OFFLOAD:
            server_shelve.offload(self._session, self._settings, server)
            return
        move = host_drains.MOVES[entry["how"]]
        migration = move(self._session, self._settings, self._context(server), server)
        entry["migration_id"] = migration.id

    def _begun(self, begin: Callable[[], object]) -> str:
        """Do it, and return why it is refused; empty when it isn't. Nothing of a refusal stays."""
        try:
            with self._session.begin_nested():
                begin()
        except NovellaError as error:
            return error.message
        return ""

    def _context(self, server: Server) -> Context:
        return Context(
            f"req-{new_id()}", self._drain.user_id or "", project_id=server.project_id,
            is_admin=True,
        )  # fmt: skip

    # --- the end -----------------------------------------------------------------------------

    def _end_if_over(self, host: Host) -> None:
        left = {server.id for server in host_drains.servers_on(self._session, host)}
        for server_id, entry in self._entries.items():
            if entry["status"] in (WAITING, FAILED) and server_id not in left:
                self._has_left(host, server_id, entry)
        statuses = {entry["status"] for entry in self._entries.values()}
        if statuses & {MOVING, WAITING}:
            return
        host_drains.end(self._drain, INCOMPLETE if FAILED in statuses else DONE, self._now)
        log.info("the drain of host %s is %s", host.name, self._drain.state)

    def _has_left(self, host: Host, server_id: str, entry: Entry) -> None:
        """It went by itself, or its old side is all that is here of it."""
        waits = {each.server_id for each in host_drains.old_sides_on(self._session, host)}
        if server_id in waits:
            entry |= {"status": FAILED, "how": CANNOT}
        else:
            entry |= {"status": GONE, "why": "it left by itself"}
