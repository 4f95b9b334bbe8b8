"""What clients read before they use images: schemas, and the ways of importing."""

from controller.api.common.calls import Call, Reply
from controller.api.image import schemas
from controller.core import image_quotas


def show_image_schema(_call: Call) -> Reply:
    return Reply(schemas.IMAGE)


def show_images_schema(_call: Call) -> Reply:
    return Reply(schemas.IMAGES)


def show_import(_call: Call) -> Reply:
    """Say that there are no ways of importing; upload is a call of its own."""
    methods = {"description": "Import methods available.", "type": "array", "value": []}
    return Reply({"import-methods": methods})


def show_usage(call: Call) -> Reply:
    """Say what of its limits the caller's project has used; the size is in MiB, rounded up."""
    project_id = call.context.project_id
    allowed = image_quotas.limits(call.session, call.settings, project_id)
    size_bytes, count = image_quotas.used(call.session, project_id)
    used = {image_quotas.SIZE: -(-size_bytes // image_quotas.MIB), image_quotas.COUNT: count}
    usage = {name: {"limit": allowed[name], "usage": used[name]} for name in allowed}
    return Reply({"usage": usage})
