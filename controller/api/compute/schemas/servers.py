"""Bodies of servers: create, update, metadata, and the actions that are built."""

from collections.abc import Callable
from functools import lru_cache

from controller.api.compute.microversions import Version, has
from controller.api.compute.schemas import live_migrations, server_images, server_properties
from controller.api.compute.schemas.parameters import (
    ADMIN_PASS,
    BOOLEAN,
    DISK_CONFIG,
    FQDN,
    IMAGE_REF,
    METADATA,
    NAME,
    TAG,
    USER_DATA,
    UUID,
    Schema,
    body,
    integer,
)

_IP: Schema = {
    "anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]
}
_TEXT: Schema = {"type": "string", "maxLength": 255}

_BLOCK_DEVICE: Schema = {
    "virtual_name": _TEXT,
    "volume_id": UUID,
    "snapshot_id": UUID,
    "volume_size": {"anyOf": [integer(), {"type": "null"}, {"const": ""}]},
    "device_name": {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": 255,
        "pattern": r"\A[a-zA-Z0-9._/-]*\Z",
    },
    "delete_on_termination": BOOLEAN,
    "no_device": {},
    "connection_info": {"type": "string"},
}
_BLOCK_DEVICE_V2: Schema = {
    **_BLOCK_DEVICE,
    "source_type": {"enum": ["volume", "image", "snapshot", "blank"]},
    "uuid": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": r"\A[a-zA-Z0-9._-]*\Z",
    },
    "image_id": UUID,
    "destination_type": {"enum": ["local", "volume"]},
    "guest_format": {"type": ["string", "null"], "maxLength": 255},
    "device_type": {"type": ["string", "null"], "maxLength": 255},
    "disk_bus": {"type": ["string", "null"], "maxLength": 255},
    "boot_index": {"type": ["integer", "string", "null"], "pattern": r"\A-?[0-9]{1,9}\Z"},
}
_CREATE: Schema = {
    "imageRef": {"anyOf": [{"const": ""}, IMAGE_REF]},
    "flavorRef": {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "minLength": 1}],
    },
    "availability_zone": NAME,
    "block_device_mapping": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": _BLOCK_DEVICE,
            "additionalProperties": False,
        },
    },
    "config_drive": {"anyOf": [BOOLEAN, {"const": ""}, {"type": "null"}]},
    "key_name": NAME,
    "min_count": integer(1),
    "max_count": integer(1),
    "return_reservation_id": BOOLEAN,
    "security_groups": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": NAME},
            "additionalProperties": False,
        },
    },
    "user_data": USER_DATA,
}
# Upstream takes any hint; those that a filter of ours will read have a form.
_HINTS: Schema = {"type": "object"}

UPDATE_METADATA: Schema = {
    "type": "object",
    "properties": {"metadata": METADATA},
    "required": ["metadata"],
    "additionalProperties": False,
}
UPDATE_METADATA_ITEM: Schema = {
    "type": "object",
    "properties": {"meta": {**METADATA, "minProperties": 1, "maxProperties": 1}},
    "required": ["meta"],
    "additionalProperties": False,
}

_TAGS: Schema = {"type": "array", "items": TAG, "maxItems": 50}
UPDATE_TAGS: Schema = {
    "type": "object",
    "properties": {"tags": _TAGS},
    "required": ["tags"],
    "additionalProperties": False,
}

_LOCK: Schema = {
    "type": ["object", "null"],
    "properties": {"locked_reason": {"type": "string", "minLength": 1, "maxLength": 255}},
    "additionalProperties": False,
}


def _lock(version: Version) -> Schema:
    """Whatever lay under it before there were reasons was passed over."""
    return _LOCK if has(version, "server.locked_reason") else {}


_SECURITY_GROUP: Schema = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 255}},
    "required": ["name"],
    "additionalProperties": False,
}


_IPV4: Schema = {"type": "string", "format": "ipv4"}
_REMOVE_FLOATING_IP: Schema = {
    "type": "object",
    "properties": {"address": _IPV4},
    "required": ["address"],
    "additionalProperties": False,
}
_ADD_FLOATING_IP: Schema = {
    "type": "object",
    "properties": {"address": _IPV4, "fixed_address": _IP},
    "required": ["address"],
    "additionalProperties": False,
}


# The bodies of actions, by the action's name: what lies under it, by version where that matters.
def _evacuate(version: Version) -> Schema:
    properties: Schema = {"host": FQDN, "adminPass": ADMIN_PASS}
    required = []
    if has(version, "evacuate.on_shared_storage"):
        properties["onSharedStorage"] = BOOLEAN
        required.append("onSharedStorage")
    if has(version, "evacuate.force"):
        properties["force"] = BOOLEAN
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


ACTIONS: dict[str, Schema | Callable[[Version], Schema]] = {
    **server_images.ACTIONS,
    "addSecurityGroup": _SECURITY_GROUP,
    "removeSecurityGroup": _SECURITY_GROUP,
    "addFloatingIp": _ADD_FLOATING_IP,
    "removeFloatingIp": _REMOVE_FLOATING_IP,
    "os-start": {},
    "os-stop": {},
    "pause": {},
    "unpause": {},
    "suspend": {},
    "resume": {},
    "changePassword": {
        "type": "object",
        "properties": {"adminPass": {"type": "string", "maxLength": 255}},
        "required": ["adminPass"],
        "additionalProperties": False,
    },
    "trigger_crash_dump": {"type": "null"},
    "restore": {},
    "forceDelete": {},
    "lock": _lock,
    "unlock": {},
    "reboot": {
        "type": "object",
        "properties": {"type": {"enum": ["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]}},
        "required": ["type"],
        "additionalProperties": False,
    },
    "resize": {
        "type": "object",
        "properties": {
            "flavorRef": {
                "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "minLength": 1}]
            },
            "OS-DCF:diskConfig": DISK_CONFIG,
        },
        "required": ["flavorRef"],
        "additionalProperties": False,
    },
    "confirmResize": {},
    "revertResize": {},
    # Without a host; see `migrate`.
    "migrate": {},
    "evacuate": _evacuate,
    "os-migrateLive": live_migrations.live_migrate,
    "os-resetState": {
        "type": "object",
        "properties": {"state": {"enum": ["active", "error"]}},
        "required": ["state"],
        "additionalProperties": False,
    },
    "os-getConsoleOutput": {
        "type": ["object", "null"],
        "properties": {
            "length": {
                "anyOf": [
                    {"type": "integer", "minimum": -1, "maximum": 1 << 31},
                    {"type": "string", "pattern": r"\A(-1|[0-9]{1,9})\Z"},
                    {"type": "null"},
                ]
            }
        },
        "additionalProperties": False,
    },
}

# What the action migrate takes where it takes a host.
MIGRATE_TO_HOST: Schema = {
    "type": ["object", "null"],
    "properties": {"host": {"anyOf": [FQDN, {"type": "null"}]}},
    "additionalProperties": False,
}

_CREATE_ROWS = (
    "server.description",
    "server.personality",
    "server.network_tag_first",
    "server.network_tag",
    "server.block_device_tag_first",
    "server.block_device_tag",
    "server.networks_required",
    "server.tags_in_create",
    "server.trusted_image_certificates",
    "server.volume_type",
    "server.requested_host",
    "server.hostname_in_request",
    "server.hostname_is_fqdn",
)


def create(version: Version) -> Schema:
    return _create(frozenset(row for row in _CREATE_ROWS if has(version, row)))


def update(version: Version) -> Schema:
    return _update(frozenset(row for row in _CREATE_ROWS if has(version, row)))


@lru_cache
def _create(rows: frozenset[str]) -> Schema:
    """Return the schema where `rows` of the table of microversions hold."""
    server = {
        **server_properties.made(rows),
        **_CREATE,
        "networks": _networks(rows),
        "block_device_mapping_v2": _block_devices(rows),
    }
    if "server.tags_in_create" in rows:
        server["tags"] = _TAGS
    if "server.requested_host" in rows:
        server |= {"host": FQDN, "hypervisor_hostname": FQDN}
    required = ["name", "flavorRef"]
    if "server.networks_required" in rows:
        required.append("networks")
    schema = body("server", server, required)
    schema["properties"] |= {"os:scheduler_hints": _HINTS, "OS-SCH-HNT:scheduler_hints": _HINTS}
    return schema


@lru_cache
def _update(rows: frozenset[str]) -> Schema:
    return body("server", server_properties.changed(rows), [])


def _networks(rows: frozenset[str]) -> Schema:
    strict = "server.networks_required" in rows
    item: Schema = {
        "fixed_ip": _IP,
        "port": {"anyOf": [UUID, {"type": "null"}]},
        "uuid": UUID if strict else {"type": "string"},
    }
    if rows & {"server.network_tag", "server.network_tag_first"}:
        item["tag"] = TAG
    items: Schema = {
        "type": "array",
        "items": {"type": "object", "properties": item, "additionalProperties": False},
    }
    return {"anyOf": [items, {"enum": ["none", "auto"]}]} if strict else items


def _block_devices(rows: frozenset[str]) -> Schema:
    item = dict(_BLOCK_DEVICE_V2)
    if rows & {"server.block_device_tag", "server.block_device_tag_first"}:
        item["tag"] = TAG
    if "server.volume_type" in rows:
        item["volume_type"] = {"type": ["string", "null"], "maxLength": 255}
    return {
        "type": "array",
        "items": {"type": "object", "properties": item, "additionalProperties": False},
    }
