"""Bodies that Identity takes. Unknown fields are refused by name."""

from typing import Any

from controller.api.common.validation import printable_name

NAME = printable_name(255)
ID = {"type": "string", "minLength": 1, "maxLength": 64}
TEXT = {"type": "string", "maxLength": 65535}
PASSWORD = {"type": "string", "minLength": 1, "maxLength": 4096}
# What clients send along for features that aren't there: only their empty forms.
EMPTY_OPTIONS = {"type": "object", "maxProperties": 0}
NO_TAGS = {"type": "array", "maxItems": 0}


def _body(noun: str, required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of `{noun: {...}}`."""
    return {
        "type": "object",
        "required": [noun],
        "additionalProperties": False,
        "properties": {
            noun: {
                "type": "object",
                "required": required,
                "minProperties": 1,
                "additionalProperties": False,
                "properties": properties,
            }
        },
    }


_DOMAIN = {
    "name": NAME,
    "description": {"anyOf": [TEXT, {"type": "null"}]},
    "enabled": {"type": "boolean"},
    "options": EMPTY_OPTIONS,
    "tags": NO_TAGS,
}
CREATE_DOMAIN = _body("domain", ["name"], _DOMAIN)
UPDATE_DOMAIN = _body("domain", [], _DOMAIN)

_PROJECT = {
    **_DOMAIN,
    "domain_id": {"anyOf": [ID, {"type": "null"}]},
    "parent_id": {"anyOf": [ID, {"type": "null"}]},
    "is_domain": {"const": False},
}
CREATE_PROJECT = _body("project", ["name"], _PROJECT)
UPDATE_PROJECT = _body("project", [], _PROJECT)

_USER = {
    "name": NAME,
    "domain_id": {"anyOf": [ID, {"type": "null"}]},
    "password": {"anyOf": [PASSWORD, {"type": "null"}]},
    "email": {"anyOf": [{"type": "string", "maxLength": 255}, {"type": "null"}]},
    "description": {"anyOf": [TEXT, {"type": "null"}]},
    "enabled": {"type": "boolean"},
    "default_project_id": {"anyOf": [{**ID, "maxLength": 36}, {"type": "null"}]},
    "options": EMPTY_OPTIONS,
}
CREATE_USER = _body("user", ["name"], _USER)
UPDATE_USER = _body("user", [], _USER)
CHANGE_PASSWORD = _body(
    "user",
    ["password", "original_password"],
    {"password": PASSWORD, "original_password": PASSWORD},
)

_ROLE = {
    "name": NAME,
    "description": {"anyOf": [TEXT, {"type": "null"}]},
    "domain_id": {"type": "null"},
    "options": EMPTY_OPTIONS,
}
CREATE_ROLE = _body("role", ["name"], _ROLE)
UPDATE_ROLE = _body("role", [], _ROLE)

# `{"id"}` or `{"name"}`; with both, the id counts.
_DOMAIN_REFERENCE = {
    "type": "object",
    "anyOf": [{"required": ["id"]}, {"required": ["name"]}],
    "additionalProperties": False,
    "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
}
_IN_DOMAIN = [{"required": ["id"]}, {"required": ["name", "domain"]}]
_PROJECT_REFERENCE = {
    "type": "object",
    "anyOf": _IN_DOMAIN,
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "domain": _DOMAIN_REFERENCE,
    },
}
_USER_REFERENCE = {
    "type": "object",
    "required": ["password"],
    "anyOf": _IN_DOMAIN,
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "domain": _DOMAIN_REFERENCE,
        "password": {"type": "string", "maxLength": 4096},
    },
}
_SCOPE = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
    "properties": {
        "project": _PROJECT_REFERENCE,
        "domain": _DOMAIN_REFERENCE,
        "system": {
            "type": "object",
            "required": ["all"],
            "additionalProperties": False,
            "properties": {"all": {"const": True}},
        },
    },
}
_IDENTITY = {
    "type": "object",
    "required": ["methods"],
    "properties": {
        "methods": {"type": "array", "minItems": 1, "maxItems": 4, "items": {"type": "string"}},
        "password": {
            "type": "object",
            "required": ["user"],
            "additionalProperties": False,
            "properties": {"user": _USER_REFERENCE},
        },
        "token": {
            "type": "object",
            "required": ["id"],
            "additionalProperties": False,
            "properties": {"id": {"type": "string"}},
        },
    },
}
AUTHENTICATE = {
    "type": "object",
    "required": ["auth"],
    "additionalProperties": False,
    "properties": {
        "auth": {
            "type": "object",
            "required": ["identity"],
            "additionalProperties": False,
            "properties": {
                "identity": _IDENTITY,
                "scope": {"anyOf": [{"const": "unscoped"}, _SCOPE]},
            },
        }
    },
}
