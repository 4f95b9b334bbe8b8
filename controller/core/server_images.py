"""Images that are made of servers: createImage and createBackup, and what each image says."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from controller.core import image_store, images, quotas
from controller.core.context import Context
from controller.core.operations import begin_action, check_allowed
from controller.db.models import Image, Server
from controller.errors import InvalidState
from controller.settings import Settings

# What upstream doesn't pass on from a server's image (non_inheritable_image_properties and others).
NOT_INHERITED = frozenset(
    {
        "bittorrent",
        "cache_in_nova",
        "img_signature",
        "img_signature_certificate_uuid",
        "img_signature_hash_method",
        "img_signature_key_type",
    }
)
SNAPSHOT, BACKUP = "snapshot", "backup"
_YES = frozenset({"yes", "true", "1", "on"})


def create_image(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    name: str,
    metadata: Mapping[str, str],
    *,
    metadata_bounded: bool = False,
) -> Image:
    """Accept that an image is made of the server's disk; return it, queued. Raises InvalidState,
    what quotas raise; `metadata_bounded` has the metadata fit the project's quota of servers'.
    """
    check_allowed(server, "create_image")
    if metadata_bounded:
        quotas.check_metadata(session, settings, server.project_id, metadata)
    image = make(session, settings, context, server, name, SNAPSHOT, metadata)
    _begin(session, settings, context, server, "create_image", "createImage", image, {})
    return image


def create_backup(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    name: str,
    metadata: Mapping[str, str],
    *,
    backup_type: str,
    rotation: int,
    metadata_bounded: bool = False,
) -> Image:
    """Accept a backup, as `create_image` does. Of this type the newest `rotation` are kept."""
    check_allowed(server, "create_backup")
    if metadata_bounded:
        quotas.check_metadata(session, settings, server.project_id, metadata)
    said = {**metadata, "backup_type": backup_type}
    image = make(session, settings, context, server, name, BACKUP, said)
    more = {"backup_type": backup_type, "rotation": rotation}
    _begin(session, settings, context, server, "create_backup", "createBackup", image, more)
    return image


def _begin(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    action: str,
    record_as: str,
    image: Image,
    more: Mapping[str, Any],
) -> None:
    if server.host_id is None:
        raise InvalidState(f"Cannot make an image of server {server.id}: it is on no host.")
    begin_action(
        session,
        settings,
        context,
        server,
        action,
        record_as=record_as,
        arguments={"image_id": image.id, "quiesce": quiesce(server), **more},
    )


def make(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    name: str,
    image_type: str,
    said: Mapping[str, str],
) -> Image:
    """Return a new image of the caller's project that is going to hold the server's disk.

    It inherits what the server's own image said, as in OpenStack Nova.
    """
    source = server.image
    inherited = {
        key: value
        for key, value in (source.get("properties") or {}).items()
        if key not in NOT_INHERITED
    }
    properties = {
        "base_image_ref": server.image_id,
        **inherited,
        "instance_uuid": server.id,
        "user_id": context.user_id,
        "image_type": image_type,
        **said,
    }
    fields = {
        "project_id": context.project_id or server.project_id,
        "name": name,
        "visibility": "private",
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_disk_gb": max(int(source.get("min_disk_gb") or 0), int(server.flavor["disk_gb"])),
        "min_memory_mb": int(source.get("min_memory_mb") or 0),
        "properties": properties,
    }
    return images.create(session, settings, fields, ())


def quiesce(server: Server) -> str:
    """Return how still the guest is to be held for the moment, as its image says: no, try, must."""
    properties = server.image.get("properties") or {}

    def says(name: str) -> bool:
        return str(properties.get(name, "")).lower() in _YES

    if not says("hw_qemu_guest_agent"):
        return "no"
    return "must" if says("os_require_quiesce") else "try"


def discard(session: Session, settings: Settings, image_id: str) -> None:
    """Remove an image that could not be made, with all that came of it; one that is whole stays."""
    image_store.remove_fetched(settings, image_id)
    image = session.get(Image, image_id, with_for_update=True)
    if image is None or image.status == "active":
        return
    image_store.remove(settings, image_id)
    if image.deleted_at is None:
        image.protected = False
        images.remove(session, image)


def rotate(session: Session, server_id: str, backup_type: str, rotation: int) -> int:
    """Delete the server's backups of this type but for the newest `rotation`; return how many.

    Protected ones are left. Their bytes go by the reconciler `unneeded_images`.
    """
    query = (
        select(Image)
        .where(
            Image.deleted_at.is_(None),
            Image.status == "active",
            Image.properties["instance_uuid"].as_string() == server_id,
            Image.properties["image_type"].as_string() == BACKUP,
            Image.properties["backup_type"].as_string() == backup_type,
        )
        .order_by(Image.created_at.desc(), Image.id.desc())
    )
    old = [image for image in list(session.scalars(query))[rotation:] if not image.protected]
    for image in old:
        images.remove(session, image)
    return len(old)
