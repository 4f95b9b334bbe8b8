"""Kinds of values that several bodies of the compute API have."""

from typing import Any

Schema = dict[str, Any]

# No control characters, no blank at either end. \Z rather than $, which would let a newline pass.
_VISIBLE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]"
_EDGE = r"[^\s\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]"
NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": rf"\A{_EDGE}({_VISIBLE}*{_EDGE})?\Z",
}
# Free text, so with line breaks and tabs.
DESCRIPTION: Schema = {
    "type": ["string", "null"],
    "maxLength": 255,
    "pattern": r"\A[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]*\Z",
}
UUID: Schema = {
    "type": "string",
    "pattern": r"\A[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z",
}
BOOLEAN: Schema = {
    "enum": [
        True, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "t", "y",
        False, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "f", "n",
    ]
}  # fmt: skip
# Integers may come as text, as upstream.
_MAX = 0x7FFFFFFF


def integer(minimum: int = 0) -> Schema:
    """Return the schema of a number from `minimum` (0 or 1) to 2**31 - 1, or the same as text."""
    text = r"\A0*[1-9][0-9]{0,9}\Z" if minimum else r"\A[0-9]{1,10}\Z"
    return {
        "anyOf": [
            {"type": "integer", "minimum": minimum, "maximum": _MAX},
            {"type": "string", "pattern": text},
        ]
    }


METADATA: Schema = {
    "type": "object",
    "propertyNames": {"pattern": r"\A[a-zA-Z0-9\-_:. ]{1,255}\Z"},
    "additionalProperties": {"type": "string", "maxLength": 255},
}
ACCESS_V4: Schema = {"anyOf": [{"const": ""}, {"type": "string", "format": "ipv4"}]}
ACCESS_V6: Schema = {"anyOf": [{"const": ""}, {"type": "string", "format": "ipv6"}]}
DISK_CONFIG: Schema = {"enum": ["AUTO", "MANUAL"]}
# A link to an image is as good as its id.
IMAGE_REF: Schema = {"anyOf": [UUID, {"type": "string", "pattern": r"\Ahttps?://"}]}
ADMIN_PASS: Schema = {"type": "string", "maxLength": 255, "pattern": r"\A[^\x00\r\n]*\Z"}
# What Nova takes: base64 text of at most this many characters (48 KiB of data). Whether it is
# base64 is looked at once, where it is taken.
USER_DATA: Schema = {"type": "string", "maxLength": 65535}
TRUSTED_CERTIFICATES: Schema = {
    "type": ["array", "null"],
    "items": {"type": "string", "minLength": 1},
    "maxItems": 50,
}
PERSONALITY: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "contents": {"type": "string"}},
        "additionalProperties": False,
    },
}
HOSTNAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 63,
    "pattern": r"\A[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?\Z",
}
FQDN: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"\A[a-zA-Z0-9._-]+\Z",
}
TAG: Schema = {"type": "string", "minLength": 1, "maxLength": 60, "pattern": r"\A[^,/]*\Z"}


def body(noun: str, properties: Schema, required: list[str], **rest: Any) -> Schema:
    """Return the schema of {noun: {...}} with nothing else beside or inside."""
    return {
        "type": "object",
        "properties": {
            noun: {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
                **rest,
            }
        },
        "required": [noun],
        "additionalProperties": False,
    }


def is_true(value: object) -> bool:
    """Return what a value that fits BOOLEAN means."""
    return value is True or (
        isinstance(value, str) and value.lower() in ("true", "1", "on", "yes", "t", "y")
    )
