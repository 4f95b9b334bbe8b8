"""Bodies of os-interface."""

from controller.api.compute.microversions import Version, has
from controller.api.compute.schemas.parameters import TAG, UUID, Schema

_FIXED_IPS: Schema = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "ip_address": {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
        },
        "required": ["ip_address"],
        "additionalProperties": False,
    },
}
_PROPERTIES: Schema = {"net_id": UUID, "port_id": UUID, "fixed_ips": _FIXED_IPS}


def _body(properties: Schema) -> Schema:
    attachment = {"type": "object", "properties": properties, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"interfaceAttachment": attachment},
        "additionalProperties": False,
    }


_UNTAGGED = _body(_PROPERTIES)
_TAGGED = _body({**_PROPERTIES, "tag": TAG})


def attach(version: Version) -> Schema:
    return _TAGGED if has(version, "interface.tag_in_request") else _UNTAGGED
