"""Names of servers: a guest's hostname, and names that nobody else may have."""

import re
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.db.models import Server
from controller.errors import NameTaken
from controller.settings import Settings


def hostname(name: str, server_id: str) -> str:
    """Return the RFC 1123 host name for a server's name, or one of its id when nothing is left."""
    text = re.sub(r"[\s_.]+", "-", name.lower())
    text = re.sub(r"[^a-z0-9-]+", "", text)
    return text.strip("-")[:63].rstrip("-") or f"server-{server_id}"


def claim(
    session: Session, settings: Settings, project_id: str, name: str, server_id: str = ""
) -> str | None:
    """Return what `Server.unique_name` is to be; None where names need not be unique.

    Raises as `claim_each` does. `server_id` may have the name already.
    """
    return claim_each(session, settings, project_id, [name], server_id)[name]


def claim_each(
    session: Session,
    settings: Settings,
    project_id: str,
    names: Sequence[str],
    server_id: str = "",
) -> dict[str, str | None]:
    """Return `Server.unique_name` for each of `names`, which differ.

    Raises NameTaken when another server has the name. The column's constraint settles a race that
    this look can't see; see `taken`. Upper and lower case are the same, as upstream.
    """
    if settings.unique_server_names == "none":
        return dict.fromkeys(names)
    prefix = f"{project_id}/" if settings.unique_server_names == "project" else ""
    wanted: dict[str, str | None] = {name: f"{prefix}{name.lower()}" for name in names}
    holders = set(
        session.scalars(
            select(Server.unique_name).where(
                Server.unique_name.in_(wanted.values()), Server.id != server_id
            )
        )
    )
    for name, unique_name in wanted.items():
        if unique_name in holders:
            raise taken(settings, name)
    return wanted


def taken(settings: Settings, name: str) -> NameTaken:
    """Return the refusal of a name that another server has."""
    where = "this project" if settings.unique_server_names == "project" else "this cloud"
    return NameTaken(
        f"Server name '{name}' is taken: names are unique in {where}. Choose another, or delete "
        "the server that has it."
    )
