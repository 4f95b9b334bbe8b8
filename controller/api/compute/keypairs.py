"""Key pairs of the caller; an admin may name another user from 2.10 on."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute import links
from controller.api.compute.microversions import has
from controller.api.compute.times import seconds_fraction
from controller.core import keypairs, quotas
from controller.db.models import Keypair


def list_keypairs(call: Call) -> Reply:
    user_id = _user(call, "index")
    if not has(call.version, "keypair.paging"):
        found = keypairs.list_keypairs(call.session, user_id)
        return Reply({"keypairs": [{"keypair": _basic(call, keypair)} for keypair in found]})
    limit, marker = links.page(call)
    found = keypairs.list_keypairs(call.session, user_id, limit=limit, marker=marker)
    last = found[-1].name if found else ""
    return Reply(
        {"keypairs": [{"keypair": _basic(call, keypair)} for keypair in found]}
        | links.next_page(call, "os-keypairs", found, limit, last)
    )


def show_keypair(call: Call, name: str) -> Reply:
    keypair = keypairs.get(call.session, _user(call, "show"), name)
    return Reply(
        {
            "keypair": _basic(call, keypair)
            | {
                "user_id": keypair.user_id,
                "id": keypair.id,
                "created_at": seconds_fraction(keypair.created_at),
                "updated_at": None,
                "deleted": False,
                "deleted_at": None,
            }
        }
    )


def create_keypair(call: Call) -> Reply:
    wanted = call.body["keypair"]
    user_id = wanted.get("user_id") or call.context.user_id
    call.authorize("os_compute_api:os-keypairs:create", {"user_id": user_id})
    limit = quotas.limits(call.session, call.settings, call.context.project_id)["key_pairs"]
    name, kind = wanted["name"], wanted.get("type", "ssh")
    private_key = None
    if "public_key" in wanted:
        keypair = keypairs.import_key(
            call.session, user_id, name, wanted["public_key"], kind, limit
        )
    else:
        keypair, private_key = keypairs.generate(call.session, user_id, name, kind, limit)
    view = _basic(call, keypair) | {"user_id": keypair.user_id}
    if private_key is not None:
        view["private_key"] = private_key
    return Reply({"keypair": view}, status=201 if has(call.version, "keypair.type") else 200)


def delete_keypair(call: Call, name: str) -> Reply:
    keypairs.delete(call.session, _user(call, "delete"), name)
    return Reply(status=204 if has(call.version, "keypair.type") else 202)


def _user(call: Call, action: str) -> str:
    """Return whose key pairs are meant, refusing others' to all but admins."""
    user_id = call.context.user_id
    if has(call.version, "keypair.user_id_in_request"):
        user_id = call.query.get("user_id") or user_id
    call.authorize(f"os_compute_api:os-keypairs:{action}", {"user_id": user_id})
    return user_id


def _basic(call: Call, keypair: Keypair) -> dict[str, Any]:
    view: dict[str, Any] = {
        "name": keypair.name,
        "public_key": keypair.public_key,
        "fingerprint": keypair.fingerprint,
    }
    if has(call.version, "keypair.type"):
        view["type"] = keypair.type
    return view
