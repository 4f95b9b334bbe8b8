"""Tags of an image: /v2/images/{id}/tags/{tag}."""

from controller.api.common.calls import Call, Reply
from controller.core import images
from controller.errors import BadRequest, NotFound

TAGS_MAX = 128


def add_tag(call: Call, image_id: str, tag: str) -> Reply:
    row = images.get_to_change(call.session, call.context, image_id)
    if len(tag) > 255:
        raise BadRequest(f"A tag has at most 255 characters; this one has {len(tag)}.")
    tags = images.tags_of(call.session, [image_id])[image_id]
    if tag not in tags and len(tags) >= TAGS_MAX:
        raise BadRequest(f"An image has at most {TAGS_MAX} tags. Remove one first.")
    images.set_tags(call.session, row, [*tags, tag])
    return Reply(status=204)


def remove_tag(call: Call, image_id: str, tag: str) -> Reply:
    row = images.get_to_change(call.session, call.context, image_id)
    tags = images.tags_of(call.session, [image_id])[image_id]
    if tag not in tags:
        raise NotFound(f"Image {image_id} has no tag {tag!r}.")
    images.set_tags(call.session, row, [other for other in tags if other != tag])
    return Reply(status=204)
