"""The folder of a server's own files on a host: the work of the module `instance_directory`."""

from __future__ import annotations

import os
import shutil
from typing import Any

from . import instance_quarantine, work
from .instance_paths import STATE_PATH, InstancePaths, make_directory, sync_directory

ARGUMENT_SPEC: dict[str, Any] = {
    "id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "quarantined", "absent"], "default": "present"},
    "state_path": {"type": "path", "default": STATE_PATH},
}

# Where libvirt notes the process of a domain that runs.
PIDFILES = "/run/libvirt/qemu"
DELETED_SUFFIX = "_del"


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Make, set aside or remove the folder of the server `id`; see the module instance_directory.

    Returns `changed`, `diff` and `path`. Removing takes every disk in it along; that and setting
    aside are refused while the server's QEMU runs.
    """
    paths = InstancePaths(params.get("state_path") or STATE_PATH)
    path = paths.instance(params["id"])
    if params.get("state") == "absent":
        return _remove(params["id"], path, check_mode)
    if params.get("state") == "quarantined":
        return _set_aside(params["id"], path, paths.state_path, check_mode)
    changed = not os.path.isdir(path)
    result = {
        "changed": changed,
        "path": path,
        "diff": [_diff(path, "" if changed else "present\n", "present\n")],
    }
    if changed and not check_mode:
        make_directory(paths.state_path)
        make_directory(paths.instances)
        make_directory(path)
        result["undo_args"] = {
            "id": params["id"],
            "state": "absent",
            "state_path": paths.state_path,
        }
    return result


def _remove(server_id: str, path: str, check_mode: bool) -> dict[str, Any]:
    doomed = [folder for folder in (path, path + DELETED_SUFFIX) if os.path.lexists(folder)]
    before = "".join(_listing(folder) for folder in doomed)
    result = {"changed": bool(doomed), "path": path, "diff": [_diff(path, before, "")]}
    if not doomed:
        return result
    if check_mode:
        # A domain that an earlier step would have ended still runs.
        return result
    check_not_running(server_id)
    # What an earlier run could not remove to its end goes first, to free the name.
    _remove_tree(path + DELETED_SUFFIX)
    if os.path.lexists(path):
        # Renamed first: nobody takes a half-removed folder for a server's.
        os.rename(path, path + DELETED_SUFFIX)
        sync_directory(os.path.dirname(path))
        _remove_tree(path + DELETED_SUFFIX)
    return result


def _set_aside(server_id: str, path: str, state_path: str, check_mode: bool) -> dict[str, Any]:
    # What an earlier removal has begun to remove is no disk that anybody could want back.
    if os.path.lexists(path + DELETED_SUFFIX):
        check_not_running(server_id)
        if not check_mode:
            _remove_tree(path + DELETED_SUFFIX)
    if not os.path.lexists(path):
        return {"changed": False, "path": path, "diff": [_diff(path, "", "")]}
    check_not_running(server_id)
    before, after = _listing(path), f"{instance_quarantine.folder(state_path)}/{server_id}\n"
    if not check_mode:
        after = _listing(instance_quarantine.put_aside(server_id, path, state_path))
    return {"changed": True, "path": path, "diff": [_diff(path, before, after)]}


def _remove_tree(path: str) -> None:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise work.WorkError(
            f"Cannot remove {error.filename or path}: {error.strerror}. The server's folder is now "
            f"{path}; run this again once the cause is gone."
        ) from error


def check_not_running(server_id: str) -> None:
    pid = (work.read_file(f"{PIDFILES}/novella-{server_id}.pid") or "").strip()
    command = work.read_file(f"/proc/{pid}/cmdline") if pid.isdecimal() else None
    if command and server_id in command:
        raise work.WorkError(
            f"Refused to remove the disks of server {server_id}: its QEMU runs (pid {pid}). Bring "
            "the domain to state absent or destroyed first (libvirt_domain)."
        )


def _listing(folder: str) -> str:
    if not os.path.isdir(folder):
        return f"{folder}\n"
    return "".join(f"{os.path.join(folder, name)}\n" for name in sorted(os.listdir(folder))) or (
        f"{folder}\n"
    )


def _diff(path: str, before: str, after: str) -> dict[str, str]:
    return work.text_diff(f"folder {path}", before, after)
