"""/servers/{id}/os-interface: the ports of a server, and which it is given or loses."""

from collections.abc import Sequence
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute.microversions import has
from controller.core import interfaces, port_records, server_locks, servers
from controller.core.interfaces import Wanted
from controller.db.models import Port, Server


def list_interfaces(call: Call, server_id: str) -> Reply:
    server = servers.get(call.session, call.context, server_id)
    found = interfaces.of_server(call.session, server)
    return Reply({"interfaceAttachments": _views(call, found)})


def show_interface(call: Call, server_id: str, port_id: str) -> Reply:
    server = servers.get(call.session, call.context, server_id)
    return Reply(_view(call, interfaces.get(call.session, server, port_id)))


def attach_interface(call: Call, server_id: str) -> Reply:
    """Answer with the port as it will be; it is DOWN until its card is plugged in."""
    asked = call.body.get("interfaceAttachment") or {}
    fixed_ips = asked.get("fixed_ips") or [{}]
    wanted = Wanted(
        asked.get("port_id"), asked.get("net_id"), fixed_ips[0].get("ip_address"), asked.get("tag")
    )
    server = _to_be_changed(call, server_id)
    port = interfaces.attach(call.session, call.settings, call.context, server, wanted)
    return Reply(_view(call, port))


def detach_interface(call: Call, server_id: str, port_id: str) -> Reply:
    server = _to_be_changed(call, server_id)
    interfaces.detach(call.session, call.settings, call.context, server, port_id)
    return Reply(status=202)


def _to_be_changed(call: Call, server_id: str) -> Server:
    server = servers.get(call.session, call.context, server_id, lock=True)
    server_locks.check(call.context, server)
    return server


def _view(call: Call, port: Port) -> dict[str, Any]:
    (view,) = _views(call, [port])
    return {"interfaceAttachment": view}


def _views(call: Call, ports: Sequence[Port]) -> list[dict[str, Any]]:
    fixed_ips = port_records.fixed_ips_of(call.session, [port.id for port in ports])
    views = []
    for port in ports:
        view: dict[str, Any] = {
            "net_id": port.network_id,
            "port_id": port.id,
            "mac_addr": port.mac_address,
            "port_state": port.status,
            "fixed_ips": [
                {"subnet_id": each.subnet_id, "ip_address": each.ip_address}
                for each in fixed_ips[port.id]
            ],
        }
        if has(call.version, "interface.tag"):
            view["tag"] = port.device_tag
        views.append(view)
    return views
