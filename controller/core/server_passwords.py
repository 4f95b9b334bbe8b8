"""The administrator's password inside a server's guest."""

from sqlalchemy.orm import Session

from controller.core.context import Context
from controller.core.operations import begin_action, check_allowed
from controller.db.models import Server
from controller.errors import Conflict
from controller.settings import Settings

ACTION = "change_password"
_YES = frozenset({"1", "t", "true", "on", "y", "yes"})


def change(
    session: Session, settings: Settings, context: Context, server: Server, password: str
) -> None:
    """Have the guest's agent set the password. It is kept, sealed, until the operation ends.

    Raises Conflict for a server whose image doesn't promise an agent, as OpenStack Nova.
    """
    check_allowed(server, ACTION)
    said = (server.image.get("properties") or {}).get("hw_qemu_guest_agent", "")
    if str(said).strip().lower() not in _YES:
        raise Conflict(
            f"Failed to set admin password on {server.id}: QEMU guest agent is not enabled. Its "
            "image must have the property hw_qemu_guest_agent=yes, and the agent installed."
        )
    begin_action(
        session, settings, context, server, ACTION,
        record_as="changePassword", secrets={"admin_pass": password},
    )  # fmt: skip
