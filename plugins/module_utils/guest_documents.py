"""The documents that a guest reads about itself, as OpenStack's and EC2's formats have them.

Two readers use them: `config_drive` puts them on a disk, `guest_metadata` hands them to the
metadata server of the port's network. Follows Nova's api/metadata/base.py, versions included.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import json
from typing import Any

from . import names, work

# What each dated version of the OpenStack documents added; `latest` is the last one.
OPENSTACK_VERSIONS = (
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
)
RANDOM_SEED_SINCE = "2013-04-04"
POSTS_SINCE = "2013-04-04"
VENDOR_DATA_SINCE = "2013-10-17"
NETWORK_DATA_SINCE = "2015-10-15"  # and project_id
KEYS_SINCE = "2016-06-30"
VENDOR_DATA2_SINCE = "2016-10-06"

# EC2's tree never changed for what we serve, so every version shows the same one.
EC2_VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "latest",
)
CONFIG_DRIVE_EC2_VERSIONS = ("2009-04-04", "latest")
RANDOM_SEED_BYTES = 512

Documents = dict[str, bytes]


def documents(
    server: dict[str, Any],
    secret: dict[str, Any] | None = None,
    for_config_drive: bool = False,
) -> Documents:
    """Return what the guest `server` reads about itself: a path (no leading slash) to its bytes.

    `server` is the playbooks' dictionary (id, name, hostname, project_id, flavor, image, guest,
    networks, ports). `secret` holds `user_data` (base64) and `admin_pass`; the latter is on the
    config drive alone, for any process of the guest can ask the metadata server.

    Over HTTP the paths are `openstack/<version>/<file>` and `<version>/meta-data/<key>`; a listing
    is a document of its own whose path ends in `/` (`""` is the root's, with the EC2 versions), so
    a server looks for the path asked, then for the same with a slash. On the config drive EC2's
    tree is one file, `ec2/<version>/meta-data.json`, and there are no listings.
    Raises WorkError when `user_data` is not base64.
    """
    secret = secret or {}
    user_data = decode_user_data(secret.get("user_data"), server["id"])
    admin_pass = secret.get("admin_pass") if for_config_drive else None
    made: Documents = {}
    for version in (*OPENSTACK_VERSIONS, "latest"):
        files = _openstack_files(server, version, user_data, admin_pass)
        made.update({f"openstack/{version}/{name}": body for name, body in files.items()})
        if not for_config_drive:
            # Served from what the guest posts.
            posted = ("password",) if version >= POSTS_SINCE else ()
            made[f"openstack/{version}/"] = _listing((*files, *posted))
    if for_config_drive:
        made.update(_ec2_drive_files(server, user_data))
    else:
        made["openstack/"] = _listing((*OPENSTACK_VERSIONS, "latest"))
        made.update(_ec2_tree(server, user_data))
        made[""] = _listing(EC2_VERSIONS)
    return made


def decode_user_data(encoded: str | None, server_id: str) -> bytes | None:
    """Return the bytes of a server's user data, or None without any."""
    if not encoded:
        return None
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise work.WorkError(
            f"Cannot read the user data of server {server_id}: it is not base64 ({error}). Encode "
            "it, for instance with `base64 -w0 FILE`."
        ) from error


def _openstack_files(
    server: dict[str, Any], version: str, user_data: bytes | None, admin_pass: str | None
) -> Documents:
    def since(first: str) -> bool:
        # "latest" sorts after every date.
        return version >= first

    files = {"meta_data.json": _json(_meta_data(server, since, admin_pass))}
    if user_data is not None:
        files["user_data"] = user_data
    if since(VENDOR_DATA_SINCE):
        files["vendor_data.json"] = _json({})
    if since(VENDOR_DATA2_SINCE):
        files["vendor_data2.json"] = _json({})
    if since(NETWORK_DATA_SINCE):
        files["network_data.json"] = _json(network_data(server))
    return files


def _meta_data(server: dict[str, Any], since: Any, admin_pass: str | None) -> dict[str, Any]:
    guest = server.get("guest") or {}
    public_keys = guest.get("public_keys") or {}
    meta: dict[str, Any] = {
        "uuid": server["id"],
        "name": server.get("name") or server["hostname"],
        "hostname": server["hostname"],
        "availability_zone": guest.get("availability_zone") or "nova",
        "launch_index": guest.get("launch_index") or 0,
    }
    if public_keys:
        meta["public_keys"] = public_keys
    if guest.get("meta"):
        meta["meta"] = guest["meta"]
    if admin_pass:
        meta["admin_pass"] = admin_pass
    if since(RANDOM_SEED_SINCE):
        meta["random_seed"] = guest.get("random_seed") or _random_seed(server["id"])
    if since(NETWORK_DATA_SINCE):
        meta["project_id"] = server.get("project_id")
    if since(KEYS_SINCE):
        meta["keys"] = [
            {"name": name, "type": "ssh", "data": key} for name, key in public_keys.items()
        ]
        # Those with a tag alone, as upstream.
        meta["devices"] = [
            {"type": "nic", "mac": port["mac_address"], "tags": [port["tag"]]}
            for port in server.get("ports") or []
            if port.get("tag")
        ]
    if since(OPENSTACK_VERSIONS[-1]):
        meta["dedicated_cpus"] = []
    return meta


def _random_seed(server_id: str) -> str:
    """A seed that stays the same from run to run, for a server that was given none.

    It tells guests apart and is no secret: the controller sends a truly random one
    (`guest.random_seed`), which is what a guest should rely on.
    """
    seed = hashlib.shake_256(b"novella random seed " + server_id.encode())
    return base64.b64encode(seed.digest(RANDOM_SEED_BYTES)).decode()


def network_data(server: dict[str, Any]) -> dict[str, Any]:
    """Return network_data.json: `links` (ports), `networks` (a fixed address each), `services`.

    An address that our dnsmasq serves is `ipv4_dhcp`, any other is `ipv4` with its routes.
    """
    by_id = {network["id"]: network for network in server.get("networks") or []}
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, Any]] = []
    for port in server.get("ports") or []:
        network = by_id.get(port["network_id"], {})
        link = {
            "id": names.tap_name(port["id"]),
            "vif_id": port["id"],
            "type": "bridge",
            "mtu": network.get("mtu"),
            "ethernet_mac_address": port["mac_address"],
        }
        links.append(link)
        subnets = {subnet["id"]: subnet for subnet in network.get("subnets") or []}
        for fixed_ip in port.get("fixed_ips") or []:
            subnet = subnets.get(fixed_ip["subnet_id"], {})
            networks.append(
                {
                    "id": f"network{len(networks)}",
                    "link": link["id"],
                    "network_id": port["network_id"],
                    **_addressing(fixed_ip["ip_address"], subnet),
                }
            )
            for address in subnet.get("dns_nameservers") or []:
                service = {"type": "dns", "address": address}
                if service not in services:
                    services.append(service)
    return {"links": links, "networks": networks, "services": services}


def _addressing(address: str, subnet: dict[str, Any]) -> dict[str, Any]:
    if subnet.get("dhcp_ip") or not subnet.get("cidr"):
        return {"type": "ipv4_dhcp"}
    routes = []
    if subnet.get("gateway_ip"):
        routes.append(
            {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": subnet["gateway_ip"]}  # noqa: S104 - the default route, nothing is bound
        )
    for route in subnet.get("host_routes") or []:
        destination = ipaddress.ip_network(route["destination"])
        routes.append(
            {
                "network": str(destination.network_address),
                "netmask": str(destination.netmask),
                "gateway": route["nexthop"],
            }
        )
    return {
        "type": "ipv4",
        "ip_address": address,
        "netmask": str(ipaddress.ip_network(subnet["cidr"]).netmask),
        "routes": routes,
        "services": [
            {"type": "dns", "address": server} for server in subnet.get("dns_nameservers") or []
        ],
    }


def ec2_instance_id(server_id: str) -> str:
    """Return the EC2 name of a server: `i-` and the first eight hex digits of its UUID."""
    return f"i-{server_id[:8]}"


def _ec2_meta_data(server: dict[str, Any]) -> dict[str, Any]:
    """EC2's meta-data as a tree; a dictionary is a folder, everything else a text."""
    guest = server.get("guest") or {}
    image_id = (server.get("image") or {}).get("id")
    addresses = [
        fixed_ip["ip_address"]
        for port in server.get("ports") or []
        for fixed_ip in port.get("fixed_ips") or []
    ]
    groups = [group.get("name") or group["id"] for group in server.get("security_groups") or []]
    tree: dict[str, Any] = {
        "ami-id": f"ami-{image_id[:8]}" if image_id else "None",
        "ami-launch-index": str(guest.get("launch_index") or 0),
        "ami-manifest-path": "(unknown)",  # what AWS answers for images without a manifest
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
        "hostname": server["hostname"],
        "instance-action": "none",
        "instance-id": ec2_instance_id(server["id"]),
        "instance-type": (server.get("flavor") or {}).get("name") or "",
        "local-hostname": server["hostname"],
        "local-ipv4": addresses[0] if addresses else "",
        "placement": {"availability-zone": guest.get("availability_zone") or "nova"},
        "public-hostname": server["hostname"],
        "public-ipv4": guest.get("public_ipv4") or "",
        "reservation-id": guest.get("reservation_id") or f"r-{server['id'][:8]}",
        "security-groups": "\n".join(groups),
    }
    if guest.get("public_keys"):
        tree["public-keys"] = {
            str(index): {"_name": name, "openssh-key": key}
            for index, (name, key) in enumerate(guest["public_keys"].items())
        }
    return tree


def _ec2_drive_files(server: dict[str, Any], user_data: bytes | None) -> Documents:
    files: Documents = {}
    for version in CONFIG_DRIVE_EC2_VERSIONS:
        files[f"ec2/{version}/meta-data.json"] = _json(_ec2_meta_data(server))
        if user_data is not None:
            files[f"ec2/{version}/user-data"] = user_data
    return files


def _ec2_tree(server: dict[str, Any], user_data: bytes | None) -> Documents:
    tree: dict[str, Any] = {"meta-data": _ec2_meta_data(server)}
    if user_data is not None:
        tree["user-data"] = user_data
    files: Documents = {}
    for version in EC2_VERSIONS:
        _flatten(tree, f"{version}/", files)
    return files


def _flatten(tree: dict[str, Any], path: str, files: Documents) -> None:
    """Put `tree` into `files` under `path` (which ends in a slash), a listing for each folder."""
    entries = []
    for name, value in sorted(tree.items()):
        if name == "_name":
            continue
        if isinstance(value, dict):
            # EC2 lists a key as `0=its name`, and a folder with a slash behind.
            entries.append(f"{name}={value['_name']}" if "_name" in value else f"{name}/")
            _flatten(value, f"{path}{name}/", files)
        else:
            entries.append(name)
            files[path + name] = value if isinstance(value, bytes) else str(value).encode()
    files[path] = _listing(entries)


def _listing(entries: Any) -> bytes:
    return "\n".join(entries).encode()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
