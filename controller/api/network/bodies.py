"""What the handlers of all nouns do with a body: one or many, and whose it is to be."""

from collections.abc import Callable, Mapping
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.errors import BadRequest, Forbidden

Item = Mapping[str, Any]


def create_each(call: Call, noun: str, create: Callable[[Item], dict[str, Any]]) -> Reply:
    """Answer 201 with what `create` made of the body's item, or of each of its list.

    A list is one transaction: all are made, or none.
    """
    if noun in call.body:
        return Reply({noun: create(call.body[noun])}, 201)
    return Reply({f"{noun}s": [create(item) for item in call.body[f"{noun}s"]]}, 201)


def owner(call: Call, item: Item) -> str:
    """Return the project that is to own a new resource; policy decides whether it may.

    Only an admin names another project than the token's: what is made counts in its quota.
    """
    named = {item[name] for name in ("project_id", "tenant_id") if name in item}
    if len(named) > 1:
        raise BadRequest("'project_id' and 'tenant_id' are different. Send one of them.")
    project_id = named.pop() if named else call.context.project_id
    if project_id is None:
        raise BadRequest("The token has no project. Name the project_id, or use a project's token.")
    if not call.context.may_see(str(project_id)):
        raise Forbidden(
            "Policy doesn't allow a project_id or tenant_id other than the token's own, unless by "
            "an admin. Leave it out, or use a token of that project."
        )
    return str(project_id)


def with_numbers(item: Item, *names: str) -> dict[str, Any]:
    """Return the item with numbers where they came as text."""
    return {
        name: int(value) if name in names and isinstance(value, str) else value
        for name, value in item.items()
    }


def columns(
    item: Item, renamed: Mapping[str, str], dropped: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the item by names of columns, without what no column has."""
    skipped = {"project_id", "tenant_id", *dropped}
    return {renamed.get(name, name): value for name, value in item.items() if name not in skipped}
