"""Images: what each says of itself, and who may see it. The bytes are in core.image_store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, CursorResult, Select, and_, delete, or_, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.core import image_quotas, image_store, operations
from controller.core.context import Context
from controller.core.image_inspection import FORMATS
from controller.core.image_store import Received
from controller.db.base import utcnow
from controller.db.models import Image, ImageTag, Server
from controller.errors import BadRequest, Conflict, Forbidden, Gone, NotFound
from controller.settings import Settings

VISIBILITIES = ("private", "shared", "community", "public")
SORT_KEYS = {
    "name": Image.name,
    "status": Image.status,
    "container_format": Image.container_format,
    "disk_format": Image.disk_format,
    "size": Image.size_bytes,
    "id": Image.id,
    "created_at": Image.created_at,
    "updated_at": Image.updated_at,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list is narrowed to. Empty means that it isn't."""

    # Column name -> the values that it may have.
    among: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    # Column name, one of lt lte gt gte eq neq, value.
    compared: Sequence[tuple[str, str, Any]] = ()
    visibility: str | None = None
    # All of them.
    tags: Sequence[str] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


def file_path(settings: Settings, image_id: str) -> Path:
    """Return where the bytes of an image lie once it is active."""
    return image_store.file_path(settings, image_id)


Lock = Literal["change", "keep"]


def get(session: Session, context: Context, image_id: str, lock: Lock | None = None) -> Image:
    """Return the image, of any status, when the caller may see it. Raises NotFound.

    Everyone sees public and community images, a project its own, an admin all. Until the end of
    the transaction, `lock` "keep" lets nobody delete the image, "change" lets nobody rely on it.
    """
    visible = or_(_visible(context), Image.visibility == "community")
    query = select(Image).where(Image.id == image_id, Image.deleted_at.is_(None), visible)
    image = session.scalar(query.with_for_update(read=lock == "keep") if lock else query)
    if image is None:
        raise NotFound.of("image", image_id)
    return image


def get_to_change(
    session: Session, context: Context, image_id: str, lock: Lock | None = None
) -> Image:
    """Return the image when the caller may change it. Raises NotFound, Forbidden."""
    image = get(session, context, image_id, lock)
    if not context.may_see(image.project_id):
        raise Forbidden(f"Cannot change image {image_id}: it is another project's.")
    return image


def _visible(context: Context) -> ColumnElement[bool]:
    """What a list shows; community images are only shown to those who ask for them."""
    if context.is_admin:
        return true()
    return or_(Image.visibility == "public", Image.project_id == context.project_id)


def list_images(
    session: Session,
    context: Context,
    wanted: Filter,
    *,
    sort: Sequence[tuple[str, bool]],
    limit: int,
    marker: str | None,
) -> list[Image]:
    """Return up to `limit` images after `marker`, of those that the caller may see.

    `sort` is (key of SORT_KEYS, descending). Raises BadRequest for a marker that isn't there.
    """
    query = _narrowed(select(Image).where(Image.deleted_at.is_(None)), context, wanted)
    keys = [*sort]
    for key in ("created_at", "id"):
        # The order is a complete one, so that pages neither skip nor repeat.
        if key not in dict(keys):
            keys.append((key, True))
    if marker is not None:
        try:
            query = query.where(_after(get(session, context, marker), keys))
        except NotFound as error:
            raise BadRequest(
                f"No image {marker} to go on after. Start without a marker."
            ) from error
    for key, descending in keys:
        column = SORT_KEYS[key]
        # Where null goes differs between databases; here it comes first in ascending order.
        query = query.order_by(
            (column.is_not(None).desc() if descending else column.is_not(None)),
            column.desc() if descending else column,
        )
    return list(session.scalars(query.limit(limit)))


def _narrowed(query: Select[Image], context: Context, wanted: Filter) -> Select[Image]:
    visible = _visible(context)
    if wanted.visibility == "community":
        visible = Image.visibility == "community"
    elif wanted.visibility == "all":
        visible = or_(visible, Image.visibility == "community")
    elif wanted.visibility is not None:
        visible = and_(visible, Image.visibility == wanted.visibility)
    query = query.where(visible)
    for name, values in wanted.among.items():
        query = query.where(getattr(Image, name).in_(values))
    for name, operator, value in wanted.compared:
        query = query.where(_comparison(getattr(Image, name), operator, value))
    for tag in wanted.tags:
        tagged = select(ImageTag.image_id).where(ImageTag.tag == tag)
        query = query.where(Image.id.in_(tagged))
    for name, value in wanted.properties.items():
        query = query.where(Image.properties[name].as_string() == value)
    return query


def _comparison(column: Any, operator: str, value: Any) -> ColumnElement[bool]:
    comparisons: dict[str, ColumnElement[bool]] = {
        "lt": column < value,
        "lte": column <= value,
        "gt": column > value,
        "gte": column >= value,
        "eq": column == value,
        "neq": column != value,
    }
    return comparisons[operator]


def _after(marker: Image, keys: Sequence[tuple[str, bool]]) -> ColumnElement[bool]:
    """Return what holds for the rows that come after `marker` in this order."""
    beyond: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    for key, descending in keys:
        column = SORT_KEYS[key]
        value = getattr(marker, column.key)
        further: ColumnElement[bool] | None
        if value is None:
            further = None if descending else column.is_not(None)
        elif descending:
            further = or_(column < value, column.is_(None))
        else:
            further = column > value
        if further is not None:
            beyond.append(and_(*same, further))
        same.append(column.is_(None) if value is None else column == value)
    return or_(*beyond)


def tags_of(session: Session, image_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the tags of each image, in order; one statement."""
    found: dict[str, list[str]] = {image_id: [] for image_id in image_ids}
    query = select(ImageTag).where(ImageTag.image_id.in_(found)).order_by(ImageTag.tag)
    for row in session.scalars(query):
        found[row.image_id].append(row.tag)
    return found


def create(
    session: Session, settings: Settings, fields: Mapping[str, Any], tags: Iterable[str]
) -> Image:
    """Return a new image without bytes. Raises Conflict when its id is taken, what formats and
    quota raise."""
    _check_formats(fields.get("disk_format"), fields.get("container_format"))
    image_quotas.admit_image(session, settings, fields["project_id"])
    image = Image(**fields)
    session.add(image)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict(
            f"An image {fields.get('id')} is there already. Leave the id out."
        ) from error
    set_tags(session, image, tags)
    return image


def change(session: Session, image: Image, changes: Mapping[str, Any]) -> None:
    """Change columns of `image`. Raises Forbidden for formats once there are bytes."""
    for name in ("disk_format", "container_format"):
        if name in changes and changes[name] != getattr(image, name) and image.status != "queued":
            raise Forbidden(
                f"Cannot change {name} of image {image.id}: it is {image.status}. Create another "
                "image for another format."
            )
    _check_formats(changes.get("disk_format"), changes.get("container_format"))
    for name, value in changes.items():
        setattr(image, name, value)
    image.updated_at = utcnow()
    session.flush()


def _check_formats(disk_format: str | None, container_format: str | None) -> None:
    if disk_format not in (None, *FORMATS):
        raise BadRequest(
            f"Invalid disk format '{disk_format}' for image. Supported are: {', '.join(FORMATS)}. "
            "Convert it with `qemu-img convert -O qcow2`."
        )
    if container_format not in (None, "bare"):
        raise BadRequest(
            f"Invalid container format '{container_format}' for image. Supported is: bare."
        )


def set_tags(session: Session, image: Image, tags: Iterable[str]) -> None:
    """Give the image these tags, and no others."""
    session.execute(delete(ImageTag).where(ImageTag.image_id == image.id))
    session.add_all(ImageTag(image_id=image.id, tag=tag) for tag in sorted(set(tags)))
    session.flush()


def check_uploadable(image: Image) -> None:
    """Raise BadRequest while the image's formats aren't known, Conflict when it has its bytes."""
    if image.disk_format is None or image.container_format is None:
        raise BadRequest(
            f"Cannot upload to image {image.id}: set its disk_format and container_format first."
        )
    # An image that is 'saving' while its part is free to lock: that upload is dead.
    if image.status not in ("queued", "saving"):
        raise Conflict(
            f"Cannot upload to image {image.id}: it is {image.status}. An image's bytes never "
            "change; create another image."
        )


def begin_upload(session: Session, image: Image) -> None:
    """Mark the image as being uploaded; the caller holds its part (see image_store.open_part)."""
    check_uploadable(image)
    image.status = "saving"
    session.flush()


def end_upload(
    session: Session,
    settings: Settings,
    image: Image,
    received: Received,
    virtual_size_bytes: int,
) -> None:
    """Make the image active. Raises Gone when it was deleted meanwhile, ImageQuotaExceeded."""
    image_quotas.admit_bytes(session, settings, image.project_id, received.size_bytes)
    done = session.execute(
        update(Image)
        .where(Image.id == image.id, Image.status == "saving", Image.deleted_at.is_(None))
        .values(
            status="active",
            size_bytes=received.size_bytes,
            virtual_size_bytes=virtual_size_bytes,
            checksum=received.md5,
            sha256=received.sha256,
            sha512=received.sha512,
            updated_at=utcnow(),
        )
    )
    if cast("CursorResult[Any]", done).rowcount == 0:
        raise Gone(f"Image {image.id} was deleted during its upload. Create another image.")


def undo_upload(session: Session, image_id: str) -> bool:
    """Put an image whose upload broke off back to where it was before.

    Return whether its bytes may go: not those of an image that is active after all, for a commit
    can get through though its answer was lost.
    """
    session.execute(
        update(Image)
        .where(Image.id == image_id, Image.status == "saving")
        .values(status="queued", updated_at=utcnow())
    )
    return session.scalar(select(Image.status).where(Image.id == image_id)) != "active"


def remove(session: Session, image: Image) -> bool:
    """Delete the image, and return whether its file may go after the commit. Raises Forbidden.

    The caller has the image locked for change. While a server that was made from it lives, the
    bytes stay, though nobody sees the image: a host that lost its base needs them for a hard
    reboot. The reconciler `unneeded_images` removes them later.
    """
    if image.protected:
        raise Forbidden(f"Image {image.id} is protected and cannot be deleted. Unprotect it first.")
    session.execute(delete(ImageTag).where(ImageTag.image_id == image.id))
    image.status = "deleted"
    image.deleted_at = utcnow()
    # One that is being made of a server need not be made.
    operations.cancel_making(session, image.id)
    session.flush()
    return not needed_by_servers(session, [image.id])


def needed_by_servers(session: Session, image_ids: Iterable[str]) -> set[str]:
    """Return those of these images from which a server was made that is not deleted."""
    query = select(Server.image_id).where(
        Server.image_id.in_(list(image_ids)), Server.deleted_at.is_(None)
    )
    return {image_id for image_id in session.scalars(query.distinct()) if image_id}


def mend_dead_uploads(session: Session, settings: Settings) -> int:
    """Put images whose upload died with its process back to queued; return how many.

    Called when the API starts.
    """
    saving = session.scalars(select(Image).where(Image.status == "saving"))
    dead = [row for row in saving if image_store.remove_dead_part(settings, row.id)]
    for image in dead:
        image_store.remove(settings, image.id)
        image.status = "queued"
    return len(dead)
