"""Our own extension: other sizes for a server that runs on. See docs/extensions.md."""

from controller.api.common.calls import Call, Reply
from controller.api.compute.schemas.parameters import Schema
from controller.core import live_sizes, servers

ACTION = "novella:live_resize"
BODY: Schema = {
    "type": "object",
    "properties": {
        "vcpus": {"type": "integer", "minimum": 1, "maximum": 1 << 24},
        "memory_mb": {"type": "integer", "minimum": 1, "maximum": 1 << 24},
    },
    "minProperties": 1,
    "additionalProperties": False,
}


def live_resize(call: Call, server_id: str) -> Reply:
    asked = call.body[ACTION]
    with call.services.db.write() as session:
        server = servers.get_to_act_on(session, call.context, server_id)
        live_sizes.resize(
            session, call.settings, call.context, server,
            vcpus=asked.get("vcpus"), memory_mb=asked.get("memory_mb"),
        )  # fmt: skip
    return Reply(status=202)
