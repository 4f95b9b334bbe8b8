"""Whether leftovers on hosts may be removed. A database from a backup begins with it off.

Such a database doesn't know what was made since, and hosts show it: every run leaves its number
there before it changes anything, so a host that has seen none newer than the database knows has
nothing that the database doesn't know of.

So it is off for one host at a time: for each that shows newer runs, and, while any does, for those
that could not be asked. A host that lies or is broken keeps reaping from nobody else.
"""

import logging
from collections.abc import Collection, Mapping

from sqlalchemy import select, update
from sqlalchemy.orm import Session, load_only

from controller.db.models import CloudSetting, Host, Server

log = logging.getLogger(__name__)

NAME = "reaping_off"
REASON_MAX = 255
# More than a server has had runs since any backup.
GENERATIONS_AHEAD = 1_000_000
NOT_ASKED = "another host has newer runs than the database knows, and this one could not be asked"
RESTORED = "the database was restored from a backup"


def why_off(session: Session) -> str | None:
    """Return why reaping is off; None when it is on."""
    setting = session.get(CloudSetting, NAME)
    return setting.value if setting else None


def switch_off(session: Session, why: str) -> None:
    """Remove no leftovers anywhere until somebody switches it on again."""
    session.merge(CloudSetting(name=NAME, value=why[:REASON_MAX]))
    log.error("reaping is off: %s. See `novella audit`, then `novella reaping on`.", why)


def switch_on(session: Session) -> None:
    """Remove leftovers again, on every host."""
    setting = session.get(CloudSetting, NAME)
    if setting is not None:
        session.delete(setting)
    for host in session.scalars(select(Host).where(Host.reaping_off.is_not(None))):
        host.reaping_off = None


def switch_off_on(host: Host, why: str) -> None:
    """Remove no leftovers on the host until somebody switches it on again."""
    host.reaping_off = why[:REASON_MAX]
    log.error(
        "reaping is off on host %s: %s. See `novella audit`, then `novella reaping on --host %s`.",
        host.name, why, host.name,
    )  # fmt: skip


def hosts_off(session: Session) -> dict[str, str]:
    """Return the hosts where alone it is off, by name, with the reasons."""
    query = select(Host.name, Host.reaping_off).where(Host.reaping_off.is_not(None))
    return {row.name: str(row.reaping_off) for row in session.execute(query.order_by(Host.name))}


def take_in(session: Session, newer: Mapping[str, str], asked: Collection[str]) -> set[str]:
    """Note what an audit has seen; return the ids of the hosts where nothing may be reaped.

    `newer` are the hosts with newer runs than the database knows, with what was seen; `asked` all
    that answered.
    """
    off = set()
    # Of hundreds of hosts, without all that each has said of itself.
    query = select(Host).options(load_only(Host.name, Host.reaping_off)).order_by(Host.name)
    for host in session.scalars(query):
        if host.id in newer:
            if host.reaping_off in (None, NOT_ASKED):
                switch_off_on(host, newer[host.id])
        elif host.id in asked:
            if host.reaping_off == NOT_ASKED:
                host.reaping_off = None
        elif newer and host.reaping_off is None:
            host.reaping_off = NOT_ASKED
        if host.reaping_off is not None:
            off.add(host.id)
    return off


def note_restored(session: Session) -> None:
    """Make a restored database fit for use: hosts let its runs in, and nothing is reaped.

    Hosts refuse a run whose number is lower than one that they have seen.
    """
    for numbered in (Server, Host):
        session.execute(
            update(numbered)
            .values(generation=numbered.generation + GENERATIONS_AHEAD)
            .execution_options(synchronize_session=False)
        )
    switch_off(session, RESTORED)
