"""A server's root disk made anew in the old one's place: the work of `disk_renewal`."""

from __future__ import annotations

import os
from typing import Any

from . import fence, libvirt_connection, libvirt_domain, qcow2_disk, work
from .instance_paths import STATE_PATH, InstancePaths

ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "renewal_id": {"type": "str", "required": True},
    "base": {**qcow2_disk.ARGUMENT_SPEC["base"], "required": True},
    "size_gb": {"type": "int"},
    "gone_with_it": {"type": "list", "elements": "path", "default": []},
    "cloud_id": {"type": "str", "default": fence.NO_CLOUD},
    "override": {"type": "bool", "default": False},
    "disk_work_slots": qcow2_disk.ARGUMENT_SPEC["disk_work_slots"],
    "state_path": {"type": "path", "default": STATE_PATH},
    "uri": {"type": "str", "default": libvirt_connection.URI},
}

# Where the new disk is made, and what says of which renewal the present one is.
NEW_NAME = "disk.renewed"
RECORD_NAME = "renewal.info"


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have the disk `path` hold nothing from before the renewal; see the module disk_renewal.

    The new disk is made first: an image that can't be had leaves everything as it was. Then the
    domain goes, with its definition, for the new image may want another machine; then the disks are
    exchanged. What is started again after a kill begins anew, since nothing was booted meanwhile.
    Raises WorkError, with the detail `old_data_gone` once the old disk is gone.
    """
    paths = InstancePaths(params.get("state_path") or STATE_PATH)
    server_id = paths.check_disk(params["path"])
    work.check_uuid(params["renewal_id"], "renewal id")
    for path in params.get("gone_with_it") or []:
        _check_beside(paths, path, server_id)
    record = os.path.join(paths.instance(server_id), RECORD_NAME)
    if (work.read_file(record) or "").strip() == params["renewal_id"]:
        return {"changed": False, "diff": [], "path": params["path"]}
    made = _make_new(params, paths.instance(server_id), check_mode)
    removed = _remove_domain(params, server_id, check_mode)
    diff = [*made["diff"], *removed["diff"], *_exchange(params, record, check_mode)]
    return {"changed": True, "diff": diff, "path": params["path"], "base": made.get("base")}


def _check_beside(paths: InstancePaths, path: str, server_id: str) -> None:
    if paths.check_disk(path) != server_id:
        raise work.WorkError(
            f"Refused to remove {path}: it is not a disk of server {server_id}. Name its own disks."
        )


def _make_new(params: dict[str, Any], folder: str, check_mode: bool) -> dict[str, Any]:
    new = os.path.join(folder, NEW_NAME)
    # One that was left by a killed run may be of another image.
    qcow2_disk.run(_disk(params, new) | {"state": "absent"}, check_mode)
    wanted = {"base": params["base"], "size_gb": params.get("size_gb"), "content": "overlay"}
    made = qcow2_disk.run(_disk(params, new) | wanted, check_mode)
    made.pop("undo_args", None)
    return made


def _disk(params: dict[str, Any], path: str) -> dict[str, Any]:
    names = ("state_path", "disk_work_slots")
    return {"path": path, "state": "present"} | {name: params.get(name) for name in names}


def _remove_domain(params: dict[str, Any], server_id: str, check_mode: bool) -> dict[str, Any]:
    names = ("cloud_id", "override", "state_path", "uri")
    return libvirt_domain.run(
        {name: params.get(name) for name in names}
        | {
            "server_id": server_id,
            "state": "absent",
            "xml_path": os.path.join(os.path.dirname(params["path"]), "libvirt.xml"),
            "keep_nvram": False,
        },
        check_mode,
    )


def _exchange(params: dict[str, Any], record: str, check_mode: bool) -> list[dict[str, str]]:
    path, others = params["path"], params.get("gone_with_it") or []
    diff = [work.text_diff(f"content of {path}", "of before\n", f"of {params['renewal_id']}\n")]
    if check_mode:
        return [*diff, *(_removed(params, other, check_mode) for other in others)]
    new = os.path.join(os.path.dirname(path), NEW_NAME)
    try:
        qcow2_disk.take_place(new, path)
        diff += [_removed(params, other, check_mode) for other in others]
        work.write_file(record, f"{params['renewal_id']}\n")
    except (work.WorkError, OSError) as error:
        raise work.WorkError(f"{error}", old_data_gone=not os.path.lexists(new)) from error
    return diff


def _removed(params: dict[str, Any], path: str, check_mode: bool) -> dict[str, str]:
    done = qcow2_disk.run(_disk(params, path) | {"state": "absent"}, check_mode)
    entry: dict[str, str] = done["diff"][0]
    return entry
