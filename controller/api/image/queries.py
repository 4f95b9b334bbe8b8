"""Filters, order and pages of image lists, as Glance reads them."""

import csv
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from controller.api.common.calls import Call
from controller.api.image.schemas import TAGS_MAX
from controller.core.images import SORT_KEYS, Filter
from controller.errors import BadRequest

LIMIT_DEFAULT, LIMIT_MAX = 25, 1000
PAGING = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir"})
AMONG = {
    "id": "id",
    "name": "name",
    "status": "status",
    "owner": "project_id",
    "disk_format": "disk_format",
    "container_format": "container_format",
    "checksum": "checksum",
    "os_hash_value": "sha512",
}
NUMBERS = {
    "size_min": ("size_bytes", "gte"),
    "size_max": ("size_bytes", "lte"),
    "min_disk": ("min_disk_gb", "eq"),
    "min_ram": ("min_memory_mb", "eq"),
    "size": ("size_bytes", "eq"),
}
MOMENTS = ("created_at", "updated_at")
FLAGS = {"protected": "protected", "os_hidden": "hidden"}
# Understood, and without effect while images aren't shared with single projects.
IGNORED = frozenset({"member_status", "os_hash_algo"})
OPERATORS = ("lt", "lte", "gt", "gte", "eq", "neq")
# Names that every database can look up in a JSON document.
PROPERTY_NAME = re.compile(r"[A-Za-z0-9_:.-]{1,255}\Z")
SORT_DIRECTIONS = ("asc", "desc")


def filters(call: Call) -> Filter:
    """Return what the query narrows the list to. Raises BadRequest.

    A name that is no attribute is a property of the images.
    """
    among: dict[str, list[Any]] = {"hidden": [False]}
    compared: list[tuple[str, str, Any]] = []
    properties: dict[str, str] = {}
    for name, value in call.query.items():
        if name in AMONG:
            among[AMONG[name]] = _values(value)
        elif name in NUMBERS:
            compared.append((*NUMBERS[name], _number(name, value)))
        elif name in MOMENTS:
            compared.append((name, *_moment(name, value)))
        elif name in FLAGS:
            among[FLAGS[name]] = [_flag(name, value)]
        elif name not in PAGING | IGNORED | {"tag", "visibility"}:
            if not PROPERTY_NAME.match(name):
                raise BadRequest(f"Images can't be filtered by {name!r}.")
            properties[name] = value
    return Filter(
        among=among,
        compared=compared,
        visibility=_visibility(call.query.get("visibility")),
        tags=_tags(call),
        properties=properties,
    )


def _tags(call: Call) -> list[str]:
    tags = list(dict.fromkeys(call.request.args.getlist("tag")))
    if len(tags) > TAGS_MAX:
        raise BadRequest(f"No image has the {len(tags)} tags asked for: {TAGS_MAX} is the most.")
    return tags


def _values(value: str) -> list[str]:
    """Return the values of `x`, or of `in:x,"y, with a comma"`."""
    if not value.startswith("in:"):
        return [value]
    return next(csv.reader([value[3:]]), [])


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise BadRequest(f"Filter {name} is {value!r}; expected a whole number from 0.")
    return int(value)


def _flag(name: str, value: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.lower() not in known:
        raise BadRequest(f"Filter {name} is {value!r}; expected true or false.")
    return known[value.lower()]


def _moment(name: str, value: str) -> tuple[str, datetime]:
    """Return (operator, time) of `gt:2026-01-01T00:00:00Z`; without an operator, eq."""
    operator, colon, rest = value.partition(":")
    if not colon or operator not in OPERATORS:
        operator, rest = "eq", value
    try:
        parsed = datetime.fromisoformat(rest)
        if parsed.tzinfo is not None:
            parsed = parsed.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError) as error:
        raise BadRequest(
            f"Filter {name} is {value!r}; expected gt:2026-01-01T00:00:00Z."
        ) from error
    return operator, parsed


def _visibility(value: str | None) -> str | None:
    if value not in (None, "all", "public", "private", "shared", "community"):
        raise BadRequest(
            f"Filter visibility is {value!r}; expected public, private, shared, community or all."
        )
    return value


def limit(call: Call) -> int:
    """Return how many images a page may have. Raises BadRequest."""
    value = call.query.get("limit")
    return LIMIT_DEFAULT if value is None else min(_number("limit", value), LIMIT_MAX)


def sort(call: Call) -> list[tuple[str, bool]]:
    """Return the order as (key, descending), of `sort=name:asc,...` or of sort_key and sort_dir."""
    args = call.request.args
    if "sort" in args:
        parts = [part.strip().partition(":") for part in args["sort"].split(",")]
        pairs = [(key, direction or "desc") for key, _, direction in parts]
    else:
        keys, directions = args.getlist("sort_key"), args.getlist("sort_dir")
        last = directions[-1] if directions else "desc"
        directions += [last] * (len(keys) - len(directions))
        pairs = list(zip(keys or ["created_at"], directions or [last], strict=False))
    order: dict[str, bool] = {}
    for key, direction in pairs:
        # A key that comes again changes nothing, and a page's condition grows with their square.
        order.setdefault(*_sort_pair(key, direction))
    return list(order.items())


def _sort_pair(key: str, direction: str) -> tuple[str, bool]:
    _one_of("sort key", key, SORT_KEYS.__contains__, ", ".join(SORT_KEYS))
    _one_of("sort direction", direction, SORT_DIRECTIONS.__contains__, "asc, desc")
    return key, direction == "desc"


def _one_of(what: str, value: str, known: Callable[[str], bool], allowed: str) -> None:
    if not known(value):
        raise BadRequest(f"Unknown {what} {value!r}. Allowed are: {allowed}.")
