"""Lists as Neutron gives them: filters, sorting, pages with links, and chosen fields.

Every attribute of a noun is a filter; given twice it means either. An unknown one is refused, so
that a misspelt filter doesn't return everything.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    Select,
    and_,
    false,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute

from controller.api.common.calls import Call
from controller.core import resource_tags
from controller.core.network_faults import InvalidInput
from controller.errors import BadRequest

RESERVED = ("fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir")
TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")
WORDS = {"true": True, "1": True, "false": False, "0": False}

Condition = Callable[[Sequence[str]], ColumnElement[bool]]


@dataclass(frozen=True)
class Listing:
    """How a noun is listed. `columns` are what it is filtered and sorted by, by API name."""

    model: Any
    columns: Mapping[str, InstrumentedAttribute[Any]]
    # Attributes that are the same for all, and those that no column has.
    constants: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    rows: list[Any]
    links: list[dict[str, str]] | None

    def body(self, name: str, views: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the reply's body, with the links of the page where there are any."""
        found: dict[str, Any] = {name: list(views)}
        if self.links:
            found[f"{name}_links"] = self.links
        return found


def chosen(call: Call, view: dict[str, Any]) -> dict[str, Any]:
    """Return only the `fields` of `view` that the query asks for, all when it asks for none."""
    wanted = set(call.request.args.getlist("fields"))
    return {name: value for name, value in view.items() if name in wanted} if wanted else view


def fetch(call: Call, listing: Listing, visible: ColumnElement[bool]) -> Page:
    """Return the page that the query asks for, in one statement (two with a marker)."""
    statement = select(listing.model).where(visible, *_filters(call, listing))
    limit, backward = _limit(call), word(call.query.get("page_reverse", "false"), "page_reverse")
    order = _order(call, listing)
    if backward:
        order = [(column, not descending) for column, descending in order]
    marker = call.query.get("marker")
    if marker:
        statement = statement.where(_after(call, listing, visible, order, marker))
    statement = _sorted(statement, order)
    rows = list(call.session.scalars(statement.limit(limit) if limit else statement))
    if backward:
        rows.reverse()
    return Page(rows, _links(call, rows, limit, backward) if limit else None)


def _filters(call: Call, listing: Listing) -> Iterable[ColumnElement[bool]]:
    for name in call.request.args:
        if name in RESERVED:
            continue
        values = call.request.args.getlist(name)
        if name in listing.conditions:
            yield listing.conditions[name](values)
        elif name in listing.columns:
            column = listing.columns[name]
            yield column.in_([_value(column, name, value) for value in values])
        elif name in listing.constants:
            fits = any(value.lower() == str(listing.constants[name]).lower() for value in values)
            yield true() if fits else false()
        elif name in TAG_FILTERS:
            yield _tagged(listing, name, [tag for value in values for tag in value.split(",")])
        else:
            raise BadRequest(f"['{name}'] is invalid attribute for filtering")


def _tagged(listing: Listing, name: str, tags: Sequence[str]) -> ColumnElement[bool]:
    has = resource_tags.has_any if name.endswith("-any") else resource_tags.has_all
    found = has(listing.model.id, tags)
    return ~found if name.startswith("not-") else found


def with_tags(
    call: Call, rows: Sequence[Any], views: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows' views with their tags, in one statement, and of each the chosen fields."""
    tags = resource_tags.of(call.session, [row.id for row in rows])
    return [
        chosen(call, {**view, "tags": tags[row.id]}) for row, view in zip(rows, views, strict=True)
    ]


def _value(column: InstrumentedAttribute[Any], name: str, text: str) -> Any:
    if isinstance(column.type, Boolean):
        return word(text, name)
    if isinstance(column.type, Integer):
        # No number here has more digits; longer ones are none that a database can compare.
        if not (text.isascii() and text.isdigit()) or len(text) > 9:
            raise InvalidInput(f"Filter {name} is '{text[:100]}'; expected a number.")
        return int(text)
    return text


def word(text: str, name: str) -> bool:
    try:
        return WORDS[text.lower()]
    except KeyError as error:
        raise InvalidInput(f"'{text}' cannot be converted to boolean ({name}).") from error


def _limit(call: Call) -> int:
    """Return how many are wanted at most, 0 for all."""
    text = call.query.get("limit", "0")
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise BadRequest(f"Limit must be an integer 0 or greater and not '{text}'.")
    return int(text)


def _order(call: Call, listing: Listing) -> list[tuple[ColumnElement[Any], bool]]:
    """Return (column, descending) pairs; the id comes last and makes the order a total one."""
    keys, directions = (call.request.args.getlist(name) for name in ("sort_key", "sort_dir"))
    if len(directions) > len(keys) or any(each not in ("asc", "desc") for each in directions):
        raise BadRequest("Each sort_key takes a sort_dir, asc or desc.")
    directions += ["asc"] * (len(keys) - len(directions))
    order = []
    seen: set[str] = set()
    for key, direction in zip(keys, directions, strict=True):
        if key in listing.constants:
            continue
        if key not in listing.columns:
            raise BadRequest(f"['{key}'] is invalid attribute for sort_key")
        # A key that comes again changes nothing, and a page's condition grows with their square.
        if key not in seen:
            order.append((_sortable(listing.columns[key]), direction == "desc"))
        seen.add(key)
    return [*order, (listing.model.id, False)]


def _sortable(column: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """Databases differ in where null comes; here it comes first."""
    if not column.property.columns[0].nullable:
        return column.expression
    return func.coalesce(column, -1 if isinstance(column.type, Integer) else "")


def _sorted(
    statement: Select[Any], order: Sequence[tuple[ColumnElement[Any], bool]]
) -> Select[Any]:
    return statement.order_by(
        *(column.desc() if descending else column.asc() for column, descending in order)
    )


def _after(
    call: Call,
    listing: Listing,
    visible: ColumnElement[bool],
    order: Sequence[tuple[ColumnElement[Any], bool]],
    marker: str,
) -> ColumnElement[bool]:
    """Return the condition on what comes after the row `marker` in this order."""
    columns = [column for column, _ in order]
    row = call.session.execute(
        select(*columns).where(listing.model.id == marker, visible)
    ).one_or_none()
    if row is None:
        raise InvalidInput(f"The marker {marker} could not be found. Begin again without it.")
    steps = []
    for index, (column, descending) in enumerate(order):
        beyond = column < row[index] if descending else column > row[index]
        steps.append(and_(*(order[i][0] == row[i] for i in range(index)), beyond))
    return or_(*steps)


def _links(call: Call, rows: Sequence[Any], limit: int, backward: bool) -> list[dict[str, str]]:
    """Return links to the pages around this one; a page that isn't full is the last of its way."""
    full = len(rows) == limit
    links = []
    if rows and (full or backward):
        links.append({"rel": "next", "href": _href(call, rows[-1].id)})
    if rows and (full or not backward) and "marker" in call.query:
        links.append({"rel": "previous", "href": _href(call, rows[0].id, page_reverse="True")})
    return links


def _href(call: Call, marker: str, **extra: str) -> str:
    kept = [
        (name, value)
        for name, value in call.request.args.items(multi=True)
        if name not in ("marker", "page_reverse")
    ]
    query = urlencode([*kept, ("marker", marker), *extra.items()])
    return f"{call.root}{call.request.path}?{query}"
