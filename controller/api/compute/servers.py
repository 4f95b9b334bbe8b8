"""Servers: show, list, update, delete, and what lies under each (addresses, security groups)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from controller.api.common.calls import Call, Reply
from controller.api.compute import links, views
from controller.api.compute.microversions import has
from controller.api.compute.server_filters import read_filters, read_sort
from controller.core import (
    server_connections,
    server_list,
    server_security_groups,
    server_tags,
    servers,
    services,
)
from controller.core.server_connections import NONE, Connections
from controller.db.models import SecurityGroup, SecurityGroupRule, Server
from controller.errors import NotFound

# What PUT answered with before it showed all that GET does.
_NOT_IN_OLD_UPDATE = (
    "OS-EXT-AZ:availability_zone",
    "OS-EXT-STS:",
    "OS-EXT-SRV-ATTR:host",
    "OS-EXT-SRV-ATTR:instance_name",
    "OS-EXT-SRV-ATTR:hypervisor_hostname",
    "OS-EXT-SRV-ATTR:kernel_id",
    "OS-EXT-SRV-ATTR:launch_index",
    "OS-EXT-SRV-ATTR:ramdisk_id",
    "OS-EXT-SRV-ATTR:reservation_id",
    "OS-EXT-SRV-ATTR:root_device_name",
    "OS-EXT-SRV-ATTR:user_data",
    "OS-SRV-USG:",
    "config_drive",
    "host_status",
    "key_name",
    "os-extended-volumes:",
    "security_groups",
)
_COLUMNS = {
    "name": "name",
    "description": "description",
    "hostname": "hostname",
    "accessIPv4": "access_ip_v4",
    "accessIPv6": "access_ip_v6",
    "OS-DCF:diskConfig": "disk_config",
}


def list_servers(call: Call) -> Reply:
    found, following = _page(call, "index")
    look = views.look(call)
    return Reply({"servers": [views.basic(look, server) for server in found], **following})


def list_servers_in_detail(call: Call) -> Reply:
    """Answer with a number of SQL statements that is the same for one server and a thousand."""
    found, following = _page(call, "detail")
    look = views.look(call)
    hosts = services.by_id(call.session, (server.host_id for server in found))
    ids = [server.id for server in found]
    connected = server_connections.of_servers(call.session, ids)
    tags = server_tags.of_servers(call.session, ids) if look.tags else {}
    return Reply(
        {
            "servers": [
                views.detail(
                    call,
                    look,
                    server,
                    hosts.get(server.host_id or ""),
                    connected.get(server.id, NONE),
                    tags.get(server.id, ()),
                )
                for server in found
            ],
            **following,
        }
    )


def show_server(call: Call, server_id: str) -> Reply:
    return Reply({"server": _shown(call, servers.get(call.session, call.context, server_id))})


def update_server(call: Call, server_id: str) -> Reply:
    server = servers.get(call.session, call.context, server_id, lock=True)
    servers.update(call.session, call.settings, call.context, server, columns(call.body["server"]))
    return Reply({"server": shown_after_change(call, server)})


def columns(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what an update or a rebuild says of a server's own columns, by their names."""
    changes = {_COLUMNS[name]: value for name, value in asked.items()}
    for name in ("access_ip_v4", "access_ip_v6"):
        if name in changes:
            changes[name] = changes[name] or None
    return changes


def shown_after_change(call: Call, server: Server) -> dict[str, Any]:
    """Return the server as an update and a rebuild answer with."""
    view = _shown(call, server)
    if not has(call.version, "server.update_shows_all"):
        view = {
            name: value for name, value in view.items() if not name.startswith(_NOT_IN_OLD_UPDATE)
        }
    return view


def delete_server(call: Call, server_id: str) -> Reply:
    server = servers.get(call.session, call.context, server_id, lock=True)
    servers.delete(call.session, call.settings, call.context, server)
    return Reply(status=204)


def list_addresses(call: Call, server_id: str) -> Reply:
    return Reply({"addresses": views.addresses(_connections(call, server_id), extended=False)})


def show_addresses(call: Call, server_id: str, network: str) -> Reply:
    found = views.addresses(_connections(call, server_id), extended=False)
    if network not in found:
        raise NotFound(
            f"Instance is not a member of specified network: server {server_id} has no address "
            f"in {network!r}."
        )
    return Reply({network: found[network]})


def list_security_groups(call: Call, server_id: str) -> Reply:
    server = servers.get(call.session, call.context, server_id)
    found = server_security_groups.of_server(call.session, server.id)
    return Reply({"security_groups": [_security_group(group, rules) for group, rules in found]})


def _security_group(group: SecurityGroup, rules: list[SecurityGroupRule]) -> dict[str, Any]:
    """Return a group as compute once had it: its ingress rules, as far as they could be said."""
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "tenant_id": group.project_id,
        "rules": [
            {
                "id": rule.id,
                "parent_group_id": group.id,
                "ip_protocol": rule.protocol,
                "from_port": rule.port_range_min,
                "to_port": rule.port_range_max,
                "ip_range": {"cidr": rule.remote_ip_prefix} if rule.remote_ip_prefix else {},
                "group": {},
            }
            for rule in rules
            if rule.direction == "ingress"
        ],
    }


def _connections(call: Call, server_id: str) -> Connections:
    server = servers.get(call.session, call.context, server_id)
    return server_connections.of_servers(call.session, [server.id]).get(server.id, NONE)


def _shown(call: Call, server: Server) -> dict[str, Any]:
    host = services.by_id(call.session, [server.host_id]).get(server.host_id or "")
    connected = server_connections.of_servers(call.session, [server.id]).get(server.id, NONE)
    tags = server_tags.of_server(call.session, server)
    view = views.detail(call, views.look(call), server, host, connected, tags)
    if has(call.version, "server.server_groups"):
        view["server_groups"] = []
    return view


def _page(call: Call, kind: str) -> tuple[Sequence[Row[Any]], dict[str, Any]]:
    filters = read_filters(call, kind)
    limit, marker = links.page(call)
    if filters is None:
        return [], {}
    look_for_user_data = (
        kind == "detail"
        and has(call.version, "server.extended_attributes")
        and call.allows("os_compute_api:os-extended-server-attributes")
    )
    found = server_list.list_servers(
        call.session,
        filters,
        sort=read_sort(call),
        limit=limit,
        marker=marker,
        with_user_data=look_for_user_data,
    )
    collection = "servers" if kind == "index" else "servers/detail"
    return found, links.next_page(call, collection, found, limit, found[-1].id if found else "")
