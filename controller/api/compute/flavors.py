"""Flavors and their extra specs."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute import links
from controller.api.compute.microversions import demand, has
from controller.api.compute.schemas.parameters import is_true
from controller.core import flavors
from controller.db.models import Flavor
from controller.errors import BadRequest

_TRUE = ("true", "1", "t", "yes", "y", "on")
_FALSE = ("false", "0", "f", "no", "n", "off")


def list_flavors(call: Call) -> Reply:
    found, following = _page(call, "flavors")
    return Reply({"flavors": [_basic(call, flavor) for flavor in found], **following})


def list_flavors_in_detail(call: Call) -> Reply:
    found, following = _page(call, "flavors/detail")
    return Reply({"flavors": [_detail(call, flavor) for flavor in found], **following})


def show_flavor(call: Call, flavor_id: str) -> Reply:
    return Reply({"flavor": _detail(call, flavors.get(call.session, call.context, flavor_id))})


def create_flavor(call: Call) -> Reply:
    wanted = call.body["flavor"]
    flavor_id = wanted.get("id")
    flavor = flavors.create(
        call.session,
        name=wanted["name"],
        flavor_id=None if flavor_id is None else str(flavor_id),
        vcpus=_number(wanted, "vcpus"),
        memory_mb=_number(wanted, "ram"),
        disk_gb=_number(wanted, "disk"),
        ephemeral_gb=_number(wanted, "OS-FLV-EXT-DATA:ephemeral"),
        swap_mb=_number(wanted, "swap"),
        rxtx_factor=float(wanted.get("rxtx_factor", 1.0)),
        is_public=is_true(wanted.get("os-flavor-access:is_public", True)),
        description=wanted.get("description"),
    )
    return Reply({"flavor": _detail(call, flavor)})


def update_flavor(call: Call, flavor_id: str) -> Reply:
    demand(call.version, "flavor.update")
    flavor = flavors.get(call.session, call.context, flavor_id)
    flavor.description = call.body["flavor"]["description"]
    return Reply({"flavor": _detail(call, flavor)})


def delete_flavor(call: Call, flavor_id: str) -> Reply:
    flavors.delete(call.session, call.context, flavor_id)
    return Reply(status=202)


def list_extra_specs(call: Call, flavor_id: str) -> Reply:
    flavor = flavors.get(call.session, call.context, flavor_id)
    return Reply({"extra_specs": flavor.extra_specs})


def show_extra_spec(call: Call, flavor_id: str, key: str) -> Reply:
    flavor = flavors.get(call.session, call.context, flavor_id)
    return Reply({key: flavors.extra_spec(flavor, key)})


def create_extra_specs(call: Call, flavor_id: str) -> Reply:
    flavors.set_extra_specs(
        flavors.get(call.session, call.context, flavor_id), call.body["extra_specs"]
    )
    return Reply(call.body)


def update_extra_spec(call: Call, flavor_id: str, key: str) -> Reply:
    if key not in call.body:
        raise BadRequest(f"Request body and URI mismatch: the body doesn't have the key {key}.")
    flavors.set_extra_specs(flavors.get(call.session, call.context, flavor_id), call.body)
    return Reply(call.body)


def delete_extra_spec(call: Call, flavor_id: str, key: str) -> Reply:
    flavors.remove_extra_spec(flavors.get(call.session, call.context, flavor_id), key)
    return Reply()


def _number(wanted: dict[str, Any], name: str) -> int:
    """Return the number, which may have come as text, and refuse what no column holds."""
    value = int(wanted.get(name, 0))
    if value > 0x7FFFFFFF:
        raise BadRequest(f"Invalid input for field/attribute {name}. {value} is over 2147483647.")
    return value


def _page(call: Call, collection: str) -> tuple[list[Flavor], dict[str, Any]]:
    limit, marker = links.page(call)
    found = flavors.list_flavors(
        call.session,
        is_public=_is_public(call),
        min_memory_mb=_minimum(call, "minRam"),
        min_disk_gb=_minimum(call, "minDisk"),
        sort_key=call.query.get("sort_key") or "flavorid",
        descending=call.query.get("sort_dir", "asc").lower() == "desc",
        limit=limit,
        marker=marker,
    )
    last = found[-1].flavor_id if found else ""
    return found, links.next_page(call, collection, found, limit, last)


def _is_public(call: Call) -> bool | None:
    """Return which flavors are meant; only admins see others than the public ones."""
    asked = call.query.get("is_public")
    if asked is None or not call.context.is_admin:
        return True
    value = asked.strip().lower()
    if value == "none":
        return None
    if value not in _TRUE + _FALSE:
        raise BadRequest(f"Invalid is_public filter [{asked}]. Use true, false or none.")
    return value in _TRUE


def _minimum(call: Call, name: str) -> int:
    asked = call.query.get(name, "0")
    if not (asked.isascii() and asked.isdigit() and len(asked) < 16):
        raise BadRequest(f"Invalid {name} filter [{asked}]. Use a number.")
    return int(asked)


def _basic(call: Call, flavor: Flavor) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": flavor.flavor_id,
        "name": flavor.name,
        "links": links.self_and_bookmark(call, "flavors", flavor.flavor_id),
    }
    if has(call.version, "flavor.description"):
        view["description"] = flavor.description
    return view


def _detail(call: Call, flavor: Flavor) -> dict[str, Any]:
    # An empty swap was shown as an empty text before it became a number.
    no_swap: int | str = 0 if has(call.version, "flavor.swap_is_a_number") else ""
    view = _basic(call, flavor) | {
        "ram": flavor.memory_mb,
        "disk": flavor.disk_gb,
        "swap": flavor.swap_mb or no_swap,
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gb,
        "OS-FLV-DISABLED:disabled": flavor.disabled,
        "vcpus": flavor.vcpus,
        "os-flavor-access:is_public": flavor.is_public,
        "rxtx_factor": flavor.rxtx_factor,
    }
    if has(call.version, "flavor.extra_specs") and call.allows(
        "os_compute_api:os-flavor-extra-specs:index"
    ):
        view["extra_specs"] = flavor.extra_specs
    return view
