"""The bytes of an image: /v2/images/{id}/file. They pass through in chunks, never as a whole."""

from flask import Response
from sqlalchemy.orm import Session
from werkzeug.exceptions import ClientDisconnected
from werkzeug.utils import send_file

from controller.api.common.calls import Call, Reply
from controller.core import image_quotas, image_store, images
from controller.core.image_inspection import inspect
from controller.db.models import Image
from controller.errors import BadRequest, NotFound, UnsupportedMediaType

BYTES = "application/octet-stream"


def upload_file(call: Call, image_id: str) -> Reply:
    """Take the bytes of a queued image. It is active at the end, or queued again with nothing kept.

    No transaction spans the stream.
    """
    if call.request.mimetype != BYTES:
        raise UnsupportedMediaType(
            f"The request's Content-Type is {call.request.mimetype or 'missing'}; send {BYTES}."
        )
    db = call.services.db
    with db.read() as session:
        image = images.get_to_change(session, call.context, image_id)
        images.check_uploadable(image)
    with image_store.open_part(call.settings, image_id) as part:
        with db.write() as session:
            image = images.get_to_change(session, call.context, image_id)
            images.begin_upload(session, image)
            bounds = _bounds(call, session, image)
        done = False
        try:
            received = image_store.receive(
                part,
                call.request.stream,
                call.request.content_length,
                bounds,
            )
            part_path = image_store.part_path(call.settings, image_id)
            virtual_size_bytes = inspect(part_path, image.disk_format or "")
            image_store.keep(call.settings, image_id)
            with db.write() as session:
                images.end_upload(session, call.settings, image, received, virtual_size_bytes)
            done = True
        except ClientDisconnected as error:
            raise BadRequest("The upload broke off. Send it again.") from error
        finally:
            if not done:
                with db.write() as session:
                    unneeded = images.undo_upload(session, image_id)
                if unneeded:
                    image_store.remove(call.settings, image_id)
    return Reply(status=204)


def _bounds(call: Call, session: Session, image: Image) -> image_store.Bounds:
    return image_store.Bounds(
        max_bytes=call.settings.max_image_bytes,
        quota_bytes=image_quotas.bytes_left(session, call.settings, image.project_id),
        reserve_bytes=call.settings.image_store_reserve_mb << 20,
    )


def download_file(call: Call, image_id: str) -> Reply:
    """Give the bytes, or the range of them that was asked for; 204 while there are none."""
    with call.services.db.read() as session:
        image = images.get(session, call.context, image_id)
    if image.status != "active":
        return Reply(status=204)
    try:
        response = send_file(
            image_store.file_path(call.settings, image_id),
            call.request.environ,
            mimetype=BYTES,
            etag=image.sha256 or False,
            response_class=Response,
        )
    except FileNotFoundError as error:
        raise NotFound(f"The bytes of image {image_id} are gone. Tell your operator.") from error
    assert isinstance(response, Response)  # noqa: S101 -- that is the class we asked for
    if image.checksum:
        response.headers["Content-MD5"] = image.checksum
    return Reply(response=response)
