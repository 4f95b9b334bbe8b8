"""Passwords that guests post to their metadata service, encrypted by their owner's key.

The host keeps what was posted, once for each server; the next heartbeat brings it here. Follows
OpenStack Nova, which keeps it in the instance's system metadata: nobody but the holder of the key
pair's private half can read it.
"""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import server_metadata
from controller.core.context import Context
from controller.db.models import Host, Server
from controller.settings import Settings
from controller.states import refusal

NAME = re.compile(r"([0-9a-f-]{36})\.([0-9]{1,9})")
# Characters, as Nova's chunks hold.
MAX = 1020


def take_in(session: Session, host: Host, facts: Mapping[str, Any]) -> None:
    """Keep what the host's guests have posted; `facts` are as it said them: untrusted.

    A host speaks for its own servers, each has one password, and one that was cleared is no news.
    """
    said = facts.get("posted_passwords")
    posted: dict[str, tuple[int, str]] = {}
    for name, text in said.items() if isinstance(said, dict) else ():
        found = NAME.fullmatch(name)
        if found and isinstance(text, str) and 0 < len(text) <= MAX and text.isascii():
            posted[found[1]] = (int(found[2]), text)
    if not posted:
        return
    query = select(Server).where(
        Server.host_id == host.id,
        Server.deleted_at.is_(None),
        Server.posted_password.is_(None),
        Server.id.in_(posted),
    )
    for server in session.scalars(query):
        serial, text = posted[server.id]
        if server.password_serial == serial:
            server.posted_password = text


def clear(session: Session, settings: Settings, context: Context, server: Server) -> None:
    """Forget what the guest has posted; it may post again once its host knows.

    That is at once, or with the next play that tells it of the server.
    """
    server.posted_password = None
    server.password_serial += 1
    busy = refusal(server_metadata.ACTION, server.state, server.task_state)
    if busy is None and not server.locked:
        server_metadata.push(session, settings, context, server)
