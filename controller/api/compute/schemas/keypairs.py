"""Bodies of key pairs."""

from controller.api.compute.microversions import Version, has
from controller.api.compute.schemas.parameters import Schema, body

_PUBLIC_KEY: Schema = {"type": "string", "minLength": 1, "maxLength": 65535}
_TYPE: Schema = {"enum": ["ssh", "x509"]}
_USER: Schema = {"type": "string", "maxLength": 255}


def _name(marks: str) -> Schema:
    """Upstream refuses anything but letters, digits and some marks; blanks at an end too."""
    kind = rf"[\w{marks}]"
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": rf"\A{kind}([\w {marks}]*{kind})?\Z",
    }


_V2_1: Schema = {"name": _name("-"), "public_key": _PUBLIC_KEY}
_V2_2: Schema = {**_V2_1, "type": _TYPE}
_V2_10: Schema = {**_V2_2, "user_id": _USER}
_V2_92: Schema = {**_V2_10, "name": _name("@.-")}

_CREATE_V2_1 = body("keypair", _V2_1, ["name"])
_CREATE_V2_2 = body("keypair", _V2_2, ["name"])
_CREATE_V2_10 = body("keypair", _V2_10, ["name"])
_CREATE_V2_92 = body("keypair", _V2_92, ["name", "public_key"])


def create(version: Version) -> Schema:
    if not has(version, "keypair.generated"):
        return _CREATE_V2_92
    if has(version, "keypair.user_id_in_request"):
        return _CREATE_V2_10
    return _CREATE_V2_2 if has(version, "keypair.type") else _CREATE_V2_1
