"""Rescue: a server started from another image for a while, with its own disk beside it."""

from sqlalchemy.orm import Session

from controller.core import boot_images, images
from controller.core.context import Context
from controller.core.operations import begin_action, check_allowed
from controller.db.models import Server
from controller.errors import BadRequest, InvalidState, NotFound
from controller.settings import Settings

ACTION = "rescue"


def rescue(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    image_id: str | None,
    admin_pass: str,
) -> None:
    """Accept the rescue of `server` with the image, or with its own when that is None.

    Raises InvalidState, BadRequest for an image that isn't there or has no bytes.
    """
    check_allowed(server, ACTION)
    if server.launched_at is None:
        raise InvalidState(
            f"Cannot rescue server {server.id}: it was never built. Delete it and create it again."
        )
    begin_action(
        session,
        settings,
        context,
        server,
        ACTION,
        arguments={"was": server.state, "image": _image(session, context, server, image_id)},
        secrets={"admin_pass": admin_pass},
    )


def _image(
    session: Session, context: Context, server: Server, image_id: str | None
) -> dict[str, object]:
    if image_id is None:
        # As it was when the server was made; its bytes are kept as long as the server lives.
        return {**server.image, "id": server.image_id}
    try:
        image = images.get(session, context, image_id, lock="keep")
    except NotFound as error:
        raise BadRequest(f"Requested rescue image '{image_id}' is not supported.") from error
    if image.status != "active":
        raise BadRequest(
            f"Requested rescue image '{image_id}' is not supported: it is {image.status}. Upload "
            "its data first, or choose another."
        )
    return boot_images.snapshot(image)
