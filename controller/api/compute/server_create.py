"""POST /servers: from the body of the request to one call of the core."""

import base64
import binascii
import re
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute import views
from controller.api.compute.policies import REQUESTED_DESTINATION
from controller.api.compute.schemas.parameters import is_true
from controller.core import servers
from controller.errors import BadRequest, NotBuilt


def create_server(call: Call) -> Reply:
    if call.context.project_id is None:
        raise BadRequest("Cannot create a server: the token has no project. Log in to one.")
    asked = call.body["server"]
    _refuse_what_is_not_built(asked)
    made = servers.create(call.session, call.settings, call.context, _wanted(call, asked))
    if is_true(asked.get("return_reservation_id", False)):
        return Reply({"reservation_id": made.servers[0].reservation_id}, status=202)
    first = made.servers[0]
    links = views.links(views.look(call), first.id)
    view = {
        "id": first.id,
        "links": links,
        "OS-DCF:diskConfig": first.disk_config,
        "security_groups": asked.get("security_groups") or [{"name": "default"}],
        "adminPass": made.admin_pass,
    }
    return Reply({"server": view}, status=202, headers={"Location": links[0]["href"]})


def _wanted(call: Call, asked: dict[str, Any]) -> servers.Wanted:
    zone, forced_host = _zone_and_host(call, asked)
    minimum = int(asked.get("min_count", 1))
    return servers.Wanted(
        # Upstream gives the description the name until 2.19 lets the client choose it.
        name=asked["name"],
        description=asked.get("description"),
        flavor_id=str(asked["flavorRef"]).rsplit("/", maxsplit=1)[-1],
        image_id=_image_id(asked),
        networks=_networks(asked),
        security_groups=list(
            dict.fromkeys(
                group["name"] for group in asked.get("security_groups") or [] if "name" in group
            )
        ),
        key_name=asked.get("key_name"),
        user_data=checked_user_data(asked.get("user_data")),
        config_drive=is_true(asked.get("config_drive")),
        metadata=asked.get("metadata") or {},
        availability_zone=zone,
        forced_host=forced_host,
        scheduler_hints=call.body.get("os:scheduler_hints")
        or call.body.get("OS-SCH-HNT:scheduler_hints")
        or {},
        min_count=minimum,
        max_count=int(asked.get("max_count", minimum)),
        hostname=asked.get("hostname"),
        access_ip_v4=asked.get("accessIPv4") or None,
        access_ip_v6=asked.get("accessIPv6") or None,
        disk_config=asked.get("OS-DCF:diskConfig", "MANUAL"),
        admin_pass=asked.get("adminPass") or None,
        tags=asked.get("tags") or [],
        zero_disk_allowed=call.allows("os_compute_api:servers:create:zero_disk_flavor"),
    )


def _refuse_what_is_not_built(asked: dict[str, Any]) -> None:
    for name in ("personality", "trusted_image_certificates", "block_device_mapping"):
        if asked.get(name):
            raise NotBuilt(
                f"Cannot create server {asked['name']}: {name} is part of this API, but this "
                "release of Novella does not have it yet. Leave it out."
            )


def _image_id(asked: dict[str, Any]) -> str:
    """Return the image that the server starts from, as imageRef, as a block device, or both."""
    # A link to an image is as good as its id.
    image_id = str(asked.get("imageRef") or "").rsplit("/", maxsplit=1)[-1]
    for device in asked.get("block_device_mapping_v2") or []:
        image_id = _image_of_device(asked["name"], device, image_id)
    if not image_id:
        raise BadRequest(
            f"Invalid imageRef provided: server {asked['name']} has no image to start from. Give "
            "imageRef."
        )
    return image_id


def _image_of_device(name: str, device: dict[str, Any], image_id: str) -> str:
    """Return the image of a block device that is the image itself, as clients send it."""
    source = device.get("source_type", "volume" if device.get("volume_id") else None)
    local = device.get("destination_type", "local") == "local"
    if source != "image" or not local or str(device.get("boot_index", 0)) != "0":
        raise NotBuilt(
            f"Cannot create server {name} with the block device of type {source} to "
            f"{device.get('destination_type')}: this release of Novella starts servers from their "
            "image alone. Leave volumes and further disks out."
        )
    found = str(device.get("uuid") or device.get("image_id") or "")
    if not found or (image_id and found != image_id):
        raise BadRequest(
            f"Block Device Mapping is Invalid: its boot image {found or '(none)'} is not the "
            f"imageRef {image_id or '(none)'}. Name the same image in both."
        )
    return found


def _networks(asked: dict[str, Any]) -> servers.Networks:
    """Return the networks asked for; None, before 2.37, means the only usable one."""
    networks = asked.get("networks")
    if not networks:
        return None
    if isinstance(networks, str):
        return "none" if networks == "none" else "auto"
    for item in networks:
        if not item.get("port") and not item.get("uuid"):
            raise BadRequest("Bad networks format: network uuid or port is missing in an entry.")
        if item.get("port") and item.get("fixed_ip"):
            raise BadRequest(
                f"Specified Fixed IP '{item['fixed_ip']}' cannot be used with port "
                f"'{item['port']}': the two cannot be specified together."
            )
    return [{name: item[name] for name in _names(item) if name in item} for item in networks]


def _names(item: dict[str, Any]) -> tuple[str, ...]:
    return ("port", "tag") if item.get("port") else ("uuid", "fixed_ip", "tag")


def checked_user_data(value: str | None) -> str | None:
    if not value:
        return None
    try:
        base64.b64decode(re.sub(r"[\r\n]", "", value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(
            "User data needs to be valid base 64: encode it, as the openstack client does."
        ) from error
    return value


def _zone_and_host(call: Call, asked: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the zone and, for those who may choose it, the host ('zone:host[:node]' or host)."""
    zone, *rest = str(asked.get("availability_zone", "")).split(":")
    if len(rest) > 2:
        raise BadRequest(f"Unable to parse availability_zone {asked['availability_zone']!r}.")
    forced = [name for name in rest if name]
    if forced:
        call.authorize("os_compute_api:servers:create:forced_host")
    named = [asked[name] for name in ("host", "hypervisor_hostname") if asked.get(name)]
    if named:
        call.authorize(REQUESTED_DESTINATION)
    if forced and named:
        raise BadRequest(
            "One mechanism with host and/or hypervisor_hostname and another mechanism with "
            "zone:host:node are mutually exclusive."
        )
    hosts = {*forced, *named}
    if len(hosts) > 1:
        raise BadRequest(f"A host is its own node here: {' and '.join(sorted(hosts))} differ.")
    return zone or None, next(iter(hosts), None)
