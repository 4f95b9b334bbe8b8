"""Our own extension: images brought to hosts before servers need them. See docs/extensions.md."""

from controller.api.common.calls import Call, Reply
from controller.api.compute.schemas.parameters import NAME, UUID, Schema
from controller.core import image_prefetch

PREFETCH: Schema = {
    "type": "object",
    "properties": {
        "prefetch": {
            "type": "object",
            "properties": {
                "image": UUID,
                "hosts": {"type": "array", "items": NAME, "minItems": 1, "maxItems": 1000},
                "availability_zone": NAME,
                "aggregate": NAME,
            },
            "required": ["image"],
            "not": {
                "anyOf": [
                    {"required": ["hosts", "availability_zone"]},
                    {"required": ["hosts", "aggregate"]},
                ]
            },
            "additionalProperties": False,
        }
    },
    "required": ["prefetch"],
    "additionalProperties": False,
}


def prefetch_image(call: Call) -> Reply:
    asked = call.body["prefetch"]
    found = image_prefetch.chosen_hosts(
        call.session,
        call.settings,
        asked.get("hosts", ()),
        asked.get("availability_zone"),
        asked.get("aggregate"),
    )
    submitted = image_prefetch.submit(call.session, call.context, asked["image"], found)
    return Reply(
        {
            "operations": [
                {"id": operation.id, "host": host.name}
                for operation, host in zip(submitted, found, strict=True)
            ]
        },
        status=202,
    )
