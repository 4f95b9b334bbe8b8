"""Security groups and their rules: list, show, create, update (groups), delete."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from controller.api.common.calls import Call, Reply
from controller.api.network import bodies, lists, views
from controller.core import security_group_rules, security_groups
from controller.db.models import SecurityGroup, SecurityGroupRule

GROUPS = lists.Listing(
    SecurityGroup,
    {
        "id": SecurityGroup.id,
        "name": SecurityGroup.name,
        "description": SecurityGroup.description,
        "project_id": SecurityGroup.project_id,
        "tenant_id": SecurityGroup.project_id,
        "stateful": SecurityGroup.stateful,
        "revision_number": SecurityGroup.revision_number,
    },
    constants={"shared": False},
)
RULES = lists.Listing(
    SecurityGroupRule,
    {
        "id": SecurityGroupRule.id,
        "description": SecurityGroupRule.description,
        "project_id": SecurityGroupRule.project_id,
        "tenant_id": SecurityGroupRule.project_id,
        "security_group_id": SecurityGroupRule.security_group_id,
        "direction": SecurityGroupRule.direction,
        "ethertype": SecurityGroupRule.ethertype,
        "protocol": SecurityGroupRule.protocol,
        "port_range_min": SecurityGroupRule.port_range_min,
        "port_range_max": SecurityGroupRule.port_range_max,
        "remote_ip_prefix": SecurityGroupRule.remote_ip_prefix,
        "remote_group_id": SecurityGroupRule.remote_group_id,
    },
    constants={"remote_address_group_id": None, "revision_number": 0},
)


def _ensure_default(call: Call) -> None:
    """Whoever looks at the groups of a project finds its default group there.

    The session of a list is for reading; the group is made in a transaction of its own, and what
    was read before is forgotten so that the list sees it.
    """
    project_id = call.context.project_id
    if project_id is None or security_groups.find_default(call.session, project_id) is not None:
        return
    call.session.rollback()
    with call.services.db.write() as session:
        security_groups.ensure_default(session, project_id)


def _views(call: Call, rows: Sequence[SecurityGroup]) -> list[dict[str, Any]]:
    rules = security_groups.rules_of(call.session, [row.id for row in rows])
    return lists.with_tags(call, rows, (views.security_group(row, rules[row.id]) for row in rows))


def list_groups(call: Call) -> Reply:
    _ensure_default(call)
    page = lists.fetch(call, GROUPS, security_groups.visible(call.context))
    return Reply(page.body("security_groups", _views(call, page.rows)))


def show_group(call: Call, group_id: str) -> Reply:
    group = security_groups.get(call.session, call.context, group_id)
    return Reply({"security_group": _views(call, [group])[0]})


def create_groups(call: Call) -> Reply:
    def create(item: bodies.Item) -> dict[str, Any]:
        project_id = bodies.owner(call, item)
        call.authorize("create_security_group", {"project_id": project_id})
        group = security_groups.create(
            call.session, call.settings, project_id, bodies.columns(item, {})
        )
        return _views(call, [group])[0]

    return bodies.create_each(call, "security_group", create)


def update_group(call: Call, group_id: str) -> Reply:
    group = security_groups.get(call.session, call.context, group_id)
    call.authorize("update_security_group", {"project_id": group.project_id})
    security_groups.update(call.session, group, call.body["security_group"])
    return Reply({"security_group": _views(call, [group])[0]})


def delete_group(call: Call, group_id: str) -> Reply:
    group = security_groups.get(call.session, call.context, group_id)
    call.authorize("delete_security_group", {"project_id": group.project_id})
    security_groups.remove(call.session, call.context, group)
    return Reply(status=204)


def _rule_views(call: Call, rows: Sequence[SecurityGroupRule]) -> list[dict[str, Any]]:
    """Return the rules, in one more statement that says which are of a default group."""
    defaults = set(
        call.session.scalars(
            select(SecurityGroup.id).where(
                SecurityGroup.id.in_({row.security_group_id for row in rows}),
                SecurityGroup.default_for.is_not(None),
            )
        )
    )
    return [
        lists.chosen(
            call, views.security_group_rule(row, of_default=row.security_group_id in defaults)
        )
        for row in rows
    ]


def list_rules(call: Call) -> Reply:
    _ensure_default(call)
    page = lists.fetch(call, RULES, security_group_rules.visible(call.context))
    return Reply(page.body("security_group_rules", _rule_views(call, page.rows)))


def show_rule(call: Call, rule_id: str) -> Reply:
    rule = security_group_rules.get(call.session, call.context, rule_id)
    return Reply({"security_group_rule": _rule_views(call, [rule])[0]})


def create_rules(call: Call) -> Reply:
    def create(item: bodies.Item) -> dict[str, Any]:
        group = security_groups.get(call.session, call.context, item["security_group_id"])
        call.authorize("create_security_group_rule", {"project_id": group.project_id})
        values = bodies.columns(item, {}, ("security_group_id", "remote_address_group_id"))
        for name in ("port_range_min", "port_range_max"):
            if isinstance(values.get(name), str):
                values[name] = int(values[name])
        if isinstance(values.get("protocol"), int):
            values["protocol"] = str(values["protocol"])
        rule = security_group_rules.create(call.session, call.settings, call.context, group, values)
        return _rule_views(call, [rule])[0]

    return bodies.create_each(call, "security_group_rule", create)


def delete_rule(call: Call, rule_id: str) -> Reply:
    rule = security_group_rules.get(call.session, call.context, rule_id)
    call.authorize("delete_security_group_rule", {"project_id": rule.project_id})
    security_group_rules.remove(call.session, call.context, rule)
    return Reply(status=204)
