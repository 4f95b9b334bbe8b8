"""Images: /v2/images."""

from typing import Any
from urllib.parse import urlencode

from controller.api.common.calls import Call, Reply
from controller.api.image import patches, queries, views
from controller.core import image_store, images
from controller.db.models import Image
from controller.errors import Forbidden, UnsupportedMediaType

PATCH_TYPE = "application/openstack-images-v2.1-json-patch"


def list_images(call: Call) -> Reply:
    limit = queries.limit(call)
    rows = images.list_images(
        call.session,
        call.context,
        queries.filters(call),
        sort=queries.sort(call),
        limit=limit,
        marker=call.query.get("marker"),
    )
    tags = images.tags_of(call.session, [row.id for row in rows])
    others = [(key, value) for key, value in call.request.args.items(multi=True) if key != "marker"]
    body: dict[str, Any] = {
        "images": [views.image(row, tags[row.id]) for row in rows],
        "first": _page(others),
        "schema": "/v2/schemas/images",
    }
    if rows and len(rows) == limit:
        body["next"] = _page([*others, ("marker", rows[-1].id)])
    return Reply(body)


def _page(arguments: list[tuple[str, str]]) -> str:
    """Return the path of a page, from /v2 on, as Glance has it."""
    return "/v2/images" + (f"?{urlencode(arguments)}" if arguments else "")


def create_image(call: Call) -> Reply:
    asked = dict(call.body)
    image_id = asked.pop("id", None)
    patches.refuse_read_only(asked)
    asked.setdefault("owner", call.context.project_id)
    _check_rights(call, asked)
    columns = patches.columns_of(asked) | {"properties": patches.properties_of(asked)}
    if image_id is not None:
        columns["id"] = image_id.lower()
    row = images.create(call.session, call.settings, columns, asked.get("tags", ()))
    reply = _show(call, row)
    reply.status = 201
    reply.headers["Location"] = f"{call.root}/image/v2/images/{row.id}"
    return reply


def _check_rights(call: Call, attributes: dict[str, Any]) -> None:
    """Refuse an owner or a visibility that the caller can't give."""
    owner = attributes.get("owner", call.context.project_id)
    if owner is None:
        raise Forbidden("An image needs an owner: log in to a project, or name the owner.")
    if not call.context.may_see(owner):
        raise Forbidden(f"You are not permitted to create images owned by '{owner}'.")
    if attributes.get("visibility") == "public":
        call.authorize("publicize_image", {"project_id": owner})
    if attributes.get("visibility") == "community":
        call.authorize("communitize_image", {"project_id": owner})


def _show(call: Call, row: Image) -> Reply:
    return Reply(views.image(row, images.tags_of(call.session, [row.id])[row.id]))


def show_image(call: Call, image_id: str) -> Reply:
    return _show(call, images.get(call.session, call.context, image_id))


def update_image(call: Call, image_id: str) -> Reply:
    """Apply a JSON patch."""
    if call.request.mimetype != PATCH_TYPE:
        raise UnsupportedMediaType(
            f"The request's Content-Type is {call.request.mimetype}; send {PATCH_TYPE}."
        )
    row = images.get_to_change(call.session, call.context, image_id)
    shown = views.image(row, images.tags_of(call.session, [image_id])[image_id])
    changed, after = patches.apply_patch(shown, call.body)
    _check_rights(call, {name: after[name] for name in changed & {"owner", "visibility"}})
    changes = patches.columns_of({name: after[name] for name in changed if name in after})
    changes["properties"] = patches.properties_of(after)
    images.change(call.session, row, changes)
    if "tags" in changed:
        images.set_tags(call.session, row, after["tags"])
    return _show(call, row)


def delete_image(call: Call, image_id: str) -> Reply:
    """Delete the image, and its bytes once that is committed, unless a server needs them."""
    with call.services.db.write() as session:
        image = images.get_to_change(session, call.context, image_id, lock="change")
        unneeded = images.remove(session, image)
    if unneeded:
        image_store.remove(call.settings, image_id)
    return Reply(status=204)
