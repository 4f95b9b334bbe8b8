"""Links of the compute API: to a resource, and to the next page of a list."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from controller.api.common.calls import Call
from controller.errors import BadRequest

# The most that one page of any list has, as upstream's max_limit.
MAX_PAGE = 1000


def base(call: Call) -> str:
    return f"{call.root}/compute/v2.1"


def self_and_bookmark(call: Call, collection: str, resource_id: str) -> list[dict[str, str]]:
    name = quote(resource_id, safe="")
    return [
        {"rel": "self", "href": f"{base(call)}/{collection}/{name}"},
        bookmark(call, collection, resource_id),
    ]


def bookmark(call: Call, collection: str, resource_id: str) -> dict[str, str]:
    return {
        "rel": "bookmark",
        "href": f"{call.root}/compute/{collection}/{quote(resource_id, safe='')}",
    }


def page(call: Call) -> tuple[int, str | None]:
    """Return the `limit` (at most MAX_PAGE) and the `marker` that the query asks for."""
    asked = call.query.get("limit")
    if asked is None:
        return MAX_PAGE, call.query.get("marker")
    if not (asked.isascii() and asked.isdigit()):
        raise BadRequest(f"Invalid input for query parameters limit: {asked!r} isn't 0 or more.")
    return min(int(asked[:9]), MAX_PAGE), call.query.get("marker")


def next_page(
    call: Call, collection: str, shown: Sequence[Any], limit: int, marker: str
) -> dict[str, list[dict[str, str]]]:
    """Return {"servers_links": [...]} for a full page, else nothing."""
    if not shown or len(shown) < limit:
        return {}
    query = [
        (name, value)
        for name, value in call.request.args.items(multi=True)
        if name not in ("marker", "limit")
    ]
    query += [("limit", str(limit)), ("marker", marker)]
    noun = collection.partition("/")[0].removeprefix("os-")
    key = "links" if collection.endswith("/os-instance-actions") else f"{noun}_links"
    return {key: [{"rel": "next", "href": f"{base(call)}/{collection}?{urlencode(query)}"}]}
