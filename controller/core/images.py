"""Images: what each says of itself, and who may see it. The bytes are in core.image_store."""

from pathlib import Path

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import Session

from controller.core.context import Context
from controller.db.models import Image
from controller.errors import NotFound
from controller.settings import Settings


def file_path(settings: Settings, image_id: str) -> Path:
    """Return where the bytes of an image lie once it is active."""
    return settings.images_dir / image_id


def get(session: Session, context: Context, image_id: str) -> Image:
    """Return the image, of any status, when the caller may see it. Raises NotFound.

    Everyone sees public and community images, a project its own, an admin all.
    """
    query = select(Image).where(Image.id == image_id, Image.deleted_at.is_(None), _visible(context))
    image = session.scalar(query)
    if image is None:
        raise NotFound.of("image", image_id)
    return image


def _visible(context: Context) -> ColumnElement[bool]:
    if context.is_admin:
        return true()
    return or_(
        Image.visibility.in_(("public", "community")), Image.project_id == context.project_id
    )
