"""Actions on servers that take or make images: rescue, images, shelve."""

from controller.api.common.calls import Call, Reply
from controller.api.compute.microversions import has
from controller.core import server_images, server_rescue, server_shelve, servers


def rescue(call: Call, server_id: str) -> Reply:
    """Answer 200 with the password, as upstream, though the rescue is only accepted."""
    asked = call.body["rescue"] or {}
    admin_pass = asked.get("adminPass") or servers.new_password()
    with call.services.db.write() as session:
        server = servers.get_to_act_on(session, call.context, server_id)
        server_rescue.rescue(
            session,
            call.settings,
            call.context,
            server,
            asked.get("rescue_image_ref"),
            admin_pass,
        )
    return Reply({"adminPass": admin_pass})


def create_image(call: Call, server_id: str) -> Reply:
    asked = call.body["createImage"]
    with call.services.db.write() as session:
        # As upstream: a lock keeps a server from changes, and this is none.
        server = servers.get(session, call.context, server_id, lock=True)
        image = server_images.create_image(
            session,
            call.settings,
            call.context,
            server,
            asked["name"],
            asked.get("metadata") or {},
            metadata_bounded=has(call.version, "server_image.metadata_quota"),
        )
        image_id = image.id
    return _made(call, image_id, located=True)


def create_backup(call: Call, server_id: str) -> Reply:
    asked = call.body["createBackup"]
    rotation = int(asked["rotation"])
    with call.services.db.write() as session:
        server = servers.get(session, call.context, server_id, lock=True)
        image = server_images.create_backup(
            session,
            call.settings,
            call.context,
            server,
            asked["name"],
            asked.get("metadata") or {},
            backup_type=asked["backup_type"],
            rotation=rotation,
            metadata_bounded=has(call.version, "server_image.metadata_quota"),
        )
        image_id = image.id
    # One that is not kept at all is nowhere to be looked for, as upstream.
    return _made(call, image_id, located=rotation > 0)


def _made(call: Call, image_id: str, *, located: bool) -> Reply:
    if has(call.version, "server_image.id_in_body"):
        return Reply({"image_id": image_id}, status=202)
    href = f"{call.root}/image/v2/images/{image_id}"
    return Reply(status=202, headers={"Location": href} if located else {})


def shelve(call: Call, server_id: str) -> Reply:
    with call.services.db.write() as session:
        server = servers.get_to_act_on(session, call.context, server_id)
        server_shelve.shelve(session, call.settings, call.context, server)
    return Reply(status=202)


def unshelve(call: Call, server_id: str) -> Reply:
    """Before 2.77 whatever the body says is ignored, as upstream."""
    asked = call.body["unshelve"] if has(call.version, "unshelve.zone") else None
    asked = asked or {}
    if asked.get("host"):
        call.authorize("os_compute_api:os-shelve:unshelve_to_host")
    place = server_shelve.Place(
        asked.get("availability_zone"), "availability_zone" in asked, asked.get("host")
    )
    with call.services.db.write() as session:
        server = servers.get_to_act_on(session, call.context, server_id)
        server_shelve.unshelve(session, call.settings, call.context, server, place)
    return Reply(status=202)
