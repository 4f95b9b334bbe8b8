"""What clients read before they use images: schemas, and the ways of importing."""

from controller.api.common.calls import Call, Reply
from controller.api.image import schemas


def show_image_schema(_call: Call) -> Reply:
    return Reply(schemas.IMAGE)


def show_images_schema(_call: Call) -> Reply:
    return Reply(schemas.IMAGES)


def show_import(_call: Call) -> Reply:
    """Say that there are no ways of importing; upload is a call of its own."""
    methods = {"description": "Import methods available.", "type": "array", "value": []}
    return Reply({"import-methods": methods})
