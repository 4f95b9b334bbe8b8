"""Arguments: what a play is told of servers, from rows alone, in the form of the roles' specs.

The same servers give the same arguments whenever they are asked for, so that a play can be run
again from the database.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from controller.core import images, live_sizes, network_arguments
from controller.core.sealing import unseal
from controller.db.models import CloudSetting, Server
from controller.errors import Unavailable
from controller.settings import Settings


def cloud_id(session: Session) -> str:
    """Return the id of this cloud, which all that it makes on hosts bears."""
    setting = session.get(CloudSetting, "cloud_id")
    if setting is None:
        raise Unavailable("This cloud has no id yet. Run `novella db bootstrap`.")
    return setting.value


def server_arguments(
    session: Session, settings: Settings, servers: Sequence[Server], on_host: str | None = None
) -> dict[str, dict[str, Any]]:
    """Return the entry of `servers` for each server, by id, in a fixed number of statements.

    Without a generation, which belongs to a run, and without secrets. Networks are told as to the
    host `on_host`; None is each port's own.
    """
    networks = network_arguments.for_servers(session, [server.id for server in servers], on_host)
    return {server.id: _server(settings, server) | networks[server.id] for server in servers}


def server_secrets(settings: Settings, server: Server, sealed: bytes | None) -> dict[str, str]:
    """Return the server's entry of `server_secrets`: user data, and the operation's own secrets."""
    return unseal(settings, sealed) | unseal(settings, server.sealed_user_data)


def _server(settings: Settings, server: Server) -> dict[str, Any]:
    return {
        "id": server.id,
        "name": server.name,
        "hostname": server.hostname,
        "project_id": server.project_id,
        "user_id": server.user_id,
        "created_at": f"{server.created_at.replace(microsecond=0).isoformat()}Z",
        "flavor": _flavor(server.flavor),
        "image": _image(settings, server),
        "config_drive": server.config_drive,
        "admin_user": _admin_user(server.image),
        "shutdown_timeout_s": _shutdown_timeout_s(settings, server.image),
        "guest": {
            "availability_zone": server.availability_zone or settings.availability_zone,
            "public_keys": {server.key_name: server.public_key} if server.key_name else {},
            "meta": dict(server.meta),
            "launch_index": server.launch_index,
            "password_serial": server.password_serial,
        },
    }


def _admin_user(image: dict[str, Any]) -> str:
    """Return whose password a change of the administrator's is about, as OpenStack Nova."""
    properties = image.get("properties") or {}
    is_windows = properties.get("os_type") == "windows"
    return str(properties.get("os_admin_user") or ("Administrator" if is_windows else "root"))


def _shutdown_timeout_s(settings: Settings, image: dict[str, Any]) -> int:
    """Return how long the guest is given to shut down: what its image says, else the setting."""
    said = str((image.get("properties") or {}).get("os_shutdown_timeout", ""))
    # An image is a tenant's: a run must end before the engine gives it up.
    if said.isascii() and said.isdigit():
        return min(int(said[:9]), settings.run_timeout_s // 2)
    return settings.shutdown_timeout_s


def _flavor(flavor: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a server's flavor that hosts need: sizes, in the units of the names."""
    sizes = ("vcpus", "memory_mb", "disk_gb", "ephemeral_gb", "swap_mb")
    known = {name: int(flavor.get(name, 0)) for name in sizes}
    return {"name": flavor.get("name", "")} | known | live_sizes.for_hosts(flavor)


def _image(settings: Settings, server: Server) -> dict[str, Any] | None:
    return image_entry(settings, server.image_id, server.image) if server.image_id else None


def image_entry(settings: Settings, image_id: str, image: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a play is told of an image, which is as core.boot_images keeps it."""
    return {
        "id": image_id,
        "format": image.get("disk_format"),
        "size_bytes": image.get("size_bytes"),
        "checksum": f"sha256:{image['sha256']}" if image.get("sha256") else None,
        "path": str(images.file_path(settings, image_id)),
        "properties": dict(image.get("properties") or {}),
    }
