"""JSON patches: what a PATCH of an image asks for, as the attributes that it leads to."""

from collections.abc import Iterable, Mapping
from typing import Any

from controller.api.common.validation import check
from controller.api.image.schemas import PROPERTY, READ_ONLY, SETTABLE
from controller.errors import BadRequest, Conflict, Forbidden

# Attribute of the API -> column, where they differ.
COLUMNS = {
    "name": "name",
    "visibility": "visibility",
    "disk_format": "disk_format",
    "container_format": "container_format",
    "min_disk": "min_disk_gb",
    "min_ram": "min_memory_mb",
    "protected": "protected",
    "os_hidden": "hidden",
    "owner": "project_id",
}
PROPERTIES_MAX = 128


def apply_patch(
    shown: Mapping[str, Any], patch: Iterable[Mapping[str, Any]]
) -> tuple[set[str], dict[str, Any]]:
    """Return (names that changed, attributes afterwards) of an image that is `shown` like this.

    Raises Forbidden for what may not be changed or removed, Conflict for a property that isn't
    there, BadRequest for a value of the wrong kind.
    """
    after = dict(shown)
    changed: set[str] = set()
    for step in patch:
        name = step["path"][1:].replace("~1", "/").replace("~0", "~")
        refuse_read_only([name])
        if step["op"] != "add" and name not in after:
            raise Conflict(f"Property {name} does not exist. Use the operation 'add'.")
        changed.add(name)
        if step["op"] == "remove":
            if name in SETTABLE:
                raise Forbidden(f"Attribute '{name}' may not be removed. Replace its value.")
            del after[name]
        else:
            if "value" not in step:
                raise BadRequest(f"Operation '{step['op']}' on {name} has no value. Give one.")
            check({name: step["value"]}, ONE_ATTRIBUTE)
            after[name] = step["value"]
    return changed, after


ONE_ATTRIBUTE = {
    "type": "object",
    "properties": SETTABLE,
    "propertyNames": {"minLength": 1, "maxLength": 255},
    "additionalProperties": PROPERTY,
}


def refuse_read_only(names: Iterable[str]) -> None:
    """Raise Forbidden for a name that clients can't set."""
    for name in names:
        if name in READ_ONLY:
            raise Forbidden(f"Attribute '{name}' is read-only.")
        if name.startswith("os_glance"):
            raise Forbidden(f"Attribute '{name}' is reserved.")


def columns_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that these attributes set, without tags and properties."""
    return {column: attributes[name] for name, column in COLUMNS.items() if name in attributes}


def properties_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the properties among these attributes. Raises Forbidden for too many."""
    found = {
        name: value
        for name, value in attributes.items()
        if name not in SETTABLE and name not in READ_ONLY
    }
    if len(found) > PROPERTIES_MAX:
        raise Forbidden(
            f"An image has at most {PROPERTIES_MAX} properties; these are {len(found)}."
        )
    return found
