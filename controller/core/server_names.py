"""Names of servers: a guest's hostname, and names that nobody else may have."""

import re

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

    Raises NameTaken when another server has the name. The column's constraint settles a race that
    this look can't see; see `taken`. Upper and lower case are the same, as upstream.
    """
    if settings.unique_server_names == "none":
        return None
    wanted = name.lower()
    if settings.unique_server_names == "project":
        wanted = f"{project_id}/{wanted}"
    holder = session.scalar(select(Server.id).where(Server.unique_name == wanted))
    if holder is not None and holder != server_id:
        raise taken(settings, name)
    return wanted


def taken(settings: Settings, name: str) -> NameTaken:
    """Return the refusal of a name that another server has."""
    where = "this project" if settings.unique_server_names == "project" else "this cloud"
    return NameTaken(
        f"Server name '{name}' is taken: names are unique in {where}. Choose another, or delete "
        "the server that has it."
    )
