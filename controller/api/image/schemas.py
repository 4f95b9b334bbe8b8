"""What Image v2 takes, and the schemas that it shows to clients."""

from typing import Any

from controller.core.image_inspection import FORMATS
from controller.core.images import VISIBILITIES

STRING = {"type": "string", "maxLength": 255}
NUMBER = {"type": "integer", "minimum": 0, "maximum": 2147483647}
TAGS_MAX = 128
TAGS = {
    "type": "array",
    "maxItems": TAGS_MAX,
    "items": {"type": "string", "minLength": 1, "maxLength": 255},
}
UUID_PATTERN = r"\A[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z"

# What a client may set; every other name is a property of its own, with text as its value.
SETTABLE: dict[str, Any] = {
    "name": {"anyOf": [STRING, {"type": "null"}]},
    "visibility": {"enum": list(VISIBILITIES)},
    "disk_format": {"anyOf": [STRING, {"type": "null"}]},
    "container_format": {"anyOf": [STRING, {"type": "null"}]},
    "min_disk": NUMBER,
    "min_ram": NUMBER,
    "protected": {"type": "boolean"},
    "os_hidden": {"type": "boolean"},
    "owner": {"type": "string", "minLength": 1, "maxLength": 36},
    "tags": TAGS,
}
PROPERTY = {"type": "string", "maxLength": 65535}
READ_ONLY: dict[str, Any] = {
    "id": {"type": "string", "pattern": UUID_PATTERN},
    "status": {"type": "string", "enum": ["queued", "saving", "active", "killed", "deleted"]},
    "size": {"type": ["null", "integer"]},
    "virtual_size": {"type": ["null", "integer"]},
    "checksum": {"type": ["null", "string"]},
    "os_hash_algo": {"type": ["null", "string"]},
    "os_hash_value": {"type": ["null", "string"]},
    "created_at": {"type": "string"},
    "updated_at": {"type": "string"},
    "self": {"type": "string"},
    "file": {"type": "string"},
    "schema": {"type": "string"},
    "direct_url": {"type": "string"},
    "locations": {"type": "array"},
    "stores": {"type": "string"},
    "deleted_at": {"type": "string"},
    "deleted": {"type": "boolean"},
}

CREATE = {
    "type": "object",
    "maxProperties": 160,
    "properties": {
        **SETTABLE,
        # Read-only ones are refused by name in the handler, with the status that Glance gives.
        **{name: {} for name in READ_ONLY},
        "id": READ_ONLY["id"],
    },
    "propertyNames": {"minLength": 1, "maxLength": 255},
    "additionalProperties": PROPERTY,
}

PATCH = {
    "type": "array",
    "maxItems": 256,
    "items": {
        "type": "object",
        "required": ["op", "path"],
        "additionalProperties": False,
        "properties": {
            "op": {"enum": ["add", "replace", "remove"]},
            "path": {"type": "string", "pattern": r"\A/[^/]+\Z", "maxLength": 512},
            "value": {},
        },
    },
}


def _shown(schema: dict[str, Any], read_only: bool) -> dict[str, Any]:
    return schema | {"readOnly": True} if read_only else schema


# As GET /v2/schemas/image shows it, with the formats that are taken here.
IMAGE: dict[str, Any] = {
    "name": "image",
    "properties": {
        **{name: _shown(schema, True) for name, schema in READ_ONLY.items()},
        **SETTABLE,
        "disk_format": {"type": ["null", "string"], "enum": [None, *FORMATS]},
        "container_format": {"type": ["null", "string"], "enum": [None, "bare"]},
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
IMAGES: dict[str, Any] = {
    "name": "images",
    "properties": {
        "images": {"type": "array", "items": IMAGE},
        "first": {"type": "string"},
        "next": {"type": "string"},
        "schema": {"type": "string"},
    },
    "links": [
        {"rel": "first", "href": "{first}"},
        {"rel": "next", "href": "{next}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
