"""Bodies of live migrations."""

from controller.api.compute.microversions import Version, has
from controller.api.compute.schemas.parameters import BOOLEAN, FQDN, Schema

_HOST: Schema = {"anyOf": [FQDN, {"type": "null"}]}
_AUTO: Schema = {"anyOf": [BOOLEAN, {"const": "auto"}]}


def _schema(properties: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": sorted(properties),
        "additionalProperties": False,
    }


_FIRST = _schema({"host": _HOST, "block_migration": BOOLEAN, "disk_over_commit": BOOLEAN})
_WITH_AUTO = _schema({"host": _HOST, "block_migration": _AUTO})
_WITH_FORCE = _schema({"host": _HOST, "block_migration": _AUTO}, {"force": BOOLEAN})

FORCE_COMPLETE: Schema = {
    "type": "object",
    "properties": {"force_complete": {"type": "null"}},
    "required": ["force_complete"],
    "additionalProperties": False,
}


def live_migrate(version: Version) -> Schema:
    """Return what os-migrateLive takes, by microversion."""
    if not has(version, "action.live_migrate_auto"):
        return _FIRST
    return _WITH_FORCE if has(version, "action.live_migrate_force") else _WITH_AUTO
