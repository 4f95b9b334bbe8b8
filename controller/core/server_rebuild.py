"""Rebuild: a server's disk made anew, of another image or the same; all else of it stays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from controller.core import boot_images, quotas, sealing, servers
from controller.core.context import Context
from controller.core.operations import begin_action, check_allowed
from controller.db.models import Server
from controller.errors import InvalidState
from controller.settings import Settings

ACTION = "rebuild"


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What is asked for, as checked by the dialect.

    `changes` are those of `servers.change`. What may be set to null is in `given` when the request
    names it: "key_name" and "user_data" (base64). `metadata` None leaves the server's as it is.
    """

    image_id: str
    admin_pass: str
    preserve_ephemeral: bool = False
    changes: Mapping[str, str | None] = field(default_factory=dict)
    metadata: Mapping[str, str] | None = None
    given: Mapping[str, str | None] = field(default_factory=dict)
    zero_disk_allowed: bool = False


def rebuild(
    session: Session, settings: Settings, context: Context, server: Server, wanted: Rebuild
) -> None:
    """Accept the rebuild of `server`, whose row shows at once what it is going to be.

    What it was made from so far is kept with the operation: a host that fails before it removed
    anything leaves the server with it. Raises InvalidState, BadRequest for an image or key that
    isn't there or doesn't fit, what quotas and names raise.
    """
    check_allowed(server, ACTION)
    if server.launched_at is None:
        raise InvalidState(
            f"Cannot rebuild server {server.id}: it was never built. Delete it and create it again."
        )
    image = boot_images.bootable(session, context, wanted.image_id)
    boot_images.check_fit(image, server.flavor, zero_disk_allowed=wanted.zero_disk_allowed)
    arguments = {
        "was": server.state,
        "preserve_ephemeral": wanted.preserve_ephemeral,
        "previous_image_id": server.image_id,
        "previous_image": server.image,
    }
    if "key_name" in wanted.given:
        # The caller's own key, whoever made the server, as upstream.
        key_name = wanted.given["key_name"]
        public_key = servers.public_key_of(session, context, key_name)
        server.key_name, server.public_key = (key_name, public_key) if public_key else (None, None)
    if "user_data" in wanted.given:
        server.sealed_user_data = sealing.seal_user_data(settings, wanted.given["user_data"])
    if wanted.metadata is not None:
        quotas.check_metadata(session, settings, server.project_id, wanted.metadata)
        server.meta = dict(wanted.metadata)
    if wanted.changes:
        servers.change(session, settings, server, wanted.changes)
    server.image_id, server.image = image.id, boot_images.snapshot(image)
    begin_action(
        session,
        settings,
        context,
        server,
        ACTION,
        arguments=arguments,
        secrets={"admin_pass": wanted.admin_pass},
    )


def restore_image(server: Server, arguments: Mapping[str, Any]) -> None:
    """Have the server be what it was made from before a rebuild that removed nothing."""
    server.image_id, server.image = arguments["previous_image_id"], arguments["previous_image"]
