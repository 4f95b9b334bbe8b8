"""Bodies of flavors."""

from controller.api.compute.microversions import Version, has
from controller.api.compute.schemas.parameters import BOOLEAN, DESCRIPTION, NAME, Schema, body
from controller.api.compute.schemas.parameters import integer as number

_CREATE: Schema = {
    "name": NAME,
    "id": {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "null"},
            {
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                "pattern": r"\A(?! )[a-zA-Z0-9. _-]+(?<! )\Z",
            },
        ]
    },
    "ram": number(1),
    "vcpus": number(1),
    "disk": number(),
    "OS-FLV-EXT-DATA:ephemeral": number(),
    "swap": number(),
    "rxtx_factor": {
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "maximum": 3.40282e38},
            {"type": "string", "pattern": r"\A[0-9]{1,9}(\.[0-9]{1,9})?\Z"},
        ]
    },
    "os-flavor-access:is_public": BOOLEAN,
}
_REQUIRED = ["name", "ram", "vcpus", "disk"]
_DESCRIPTION: Schema = {**DESCRIPTION, "maxLength": 65535}
_V2_1 = body("flavor", _CREATE, _REQUIRED)
_V2_55 = body("flavor", {**_CREATE, "description": _DESCRIPTION}, _REQUIRED)

UPDATE = body("flavor", {"description": _DESCRIPTION}, ["description"])

_SPECS: Schema = {
    "type": "object",
    "propertyNames": {"pattern": r"\A[a-zA-Z0-9\-_:. ]{1,255}\Z"},
    "additionalProperties": {"anyOf": [{"type": "string", "maxLength": 255}, {"type": "number"}]},
}
EXTRA_SPECS: Schema = {
    "type": "object",
    "properties": {"extra_specs": _SPECS},
    "required": ["extra_specs"],
    "additionalProperties": False,
}
EXTRA_SPEC: Schema = {**_SPECS, "minProperties": 1, "maxProperties": 1}


def create(version: Version) -> Schema:
    return _V2_55 if has(version, "flavor.description") else _V2_1
