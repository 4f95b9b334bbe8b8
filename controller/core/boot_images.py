"""The images that servers start from: which may be, and what a server keeps of its own."""

from typing import Any

from sqlalchemy.orm import Session

from controller.core import images
from controller.core.context import Context
from controller.db.models import Image
from controller.errors import BadRequest, Forbidden, NotFound

GIB = 1 << 30


def bootable(session: Session, context: Context, image_id: str) -> Image:
    """Return the image that a server is to start from; nobody deletes it in this transaction.

    Raises BadRequest for one that the caller can't see, or that has no bytes.
    """
    try:
        # Whoever deletes it meanwhile waits, and then sees that there is a server to keep it for.
        image = images.get(session, context, image_id, lock="keep")
    except NotFound as error:
        raise BadRequest(f"Can not find requested image {image_id}.") from error
    if image.status != "active":
        raise BadRequest(
            f"Image {image.id} is not active: it is {image.status}. Upload its data first, or "
            "choose another."
        )
    return image


def check_fit(image: Image, flavor: dict[str, Any], *, zero_disk_allowed: bool) -> None:
    """Refuse a flavor that is smaller than the image; a disk of 0 GiB takes the image's size.

    `flavor` is as a server keeps it.
    """
    if flavor["memory_mb"] < image.min_memory_mb:
        raise BadRequest(
            f"Flavor's memory is too small for requested image: {flavor['name']} has "
            f"{flavor['memory_mb']} MiB, image {image.id} needs {image.min_memory_mb} MiB."
        )
    disk_gb = flavor["disk_gb"]
    if disk_gb == 0:
        if not zero_disk_allowed:
            raise Forbidden(
                f"Only volume-backed servers are allowed for flavors with zero disk, such as "
                f"{flavor['name']}. Choose a flavor with a disk."
            )
        return
    size = max(image.virtual_size_bytes or 0, image.size_bytes or 0)
    if size > disk_gb * GIB:
        raise BadRequest(
            f"Flavor's disk is too small for requested image. Flavor disk is "
            f"{disk_gb * GIB} bytes, image is {size} bytes. Choose a larger flavor."
        )
    if image.min_disk_gb > disk_gb:
        raise BadRequest(
            f"Flavor's disk is smaller than the minimum size specified in image metadata. "
            f"Flavor disk is {disk_gb * GIB} bytes, minimum size is "
            f"{image.min_disk_gb * GIB} bytes. Choose a larger flavor."
        )


def snapshot(image: Image) -> dict[str, Any]:
    """Return the image as a server keeps it, whatever becomes of the image later."""
    return {
        "id": image.id,
        "name": image.name,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "size_bytes": image.size_bytes,
        "virtual_size_bytes": image.virtual_size_bytes,
        "checksum": image.checksum,
        "sha256": image.sha256,
        "min_disk_gb": image.min_disk_gb,
        "min_memory_mb": image.min_memory_mb,
        "properties": dict(image.properties),
    }
