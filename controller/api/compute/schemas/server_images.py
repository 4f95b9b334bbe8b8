"""Bodies of the actions around images: what lies under the action's name."""

from collections.abc import Callable
from functools import lru_cache

from controller.api.compute.microversions import Version, has
from controller.api.compute.schemas import server_properties
from controller.api.compute.schemas.parameters import (
    ADMIN_PASS,
    BOOLEAN,
    IMAGE_REF,
    METADATA,
    NAME,
    USER_DATA,
    UUID,
    Schema,
    integer,
)

_REBUILD_ROWS = (
    "server.description",
    "server.personality",
    "rebuild.key_name",
    "rebuild.user_data",
    "server.trusted_image_certificates",
    "server.hostname_in_request",
    "server.hostname_is_fqdn",
)


def rebuild(version: Version) -> Schema:
    return _rebuild(frozenset(row for row in _REBUILD_ROWS if has(version, row)))


@lru_cache
def _rebuild(rows: frozenset[str]) -> Schema:
    """Return the schema where `rows` of the table of microversions hold."""
    properties = server_properties.made(rows)
    properties |= {"imageRef": IMAGE_REF, "preserve_ephemeral": BOOLEAN}
    if "rebuild.key_name" in rows:
        properties["key_name"] = {"anyOf": [NAME, {"type": "null"}]}
    if "rebuild.user_data" in rows:
        properties["user_data"] = {"anyOf": [USER_DATA, {"type": "null"}]}
    return _object(properties, ["imageRef"])


def _object(properties: Schema, required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def unshelve(version: Version) -> Schema:
    if has(version, "unshelve.host"):
        return _UNSHELVE_TO_HOST
    return _UNSHELVE_TO_ZONE if has(version, "unshelve.zone") else {}


_UNSHELVE_TO_ZONE: Schema = {
    "type": ["object", "null"],
    "properties": {"availability_zone": NAME},
    "required": ["availability_zone"],
    "additionalProperties": False,
}
_UNSHELVE_TO_HOST: Schema = {
    "type": ["object", "null"],
    "properties": {
        "availability_zone": {"type": ["string", "null"]},
        "host": {"type": "string"},
    },
    "minProperties": 1,
    "additionalProperties": False,
}
_IMAGE: Schema = {"name": NAME, "metadata": METADATA}

ACTIONS: dict[str, Schema | Callable[[Version], Schema]] = {
    "rebuild": rebuild,
    "rescue": {
        "type": ["object", "null"],
        "properties": {"adminPass": ADMIN_PASS, "rescue_image_ref": UUID},
        "additionalProperties": False,
    },
    "unrescue": {},
    "createImage": _object(_IMAGE, ["name"]),
    "createBackup": _object(
        {**_IMAGE, "backup_type": {"type": "string"}, "rotation": integer()},
        ["name", "backup_type", "rotation"],
    ),
    "shelve": {},
    "shelveOffload": {},
    "unshelve": unshelve,
}
