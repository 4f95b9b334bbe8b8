"""A server's folder, brought from where it was: the work of the module `pulled_directory`."""

from __future__ import annotations

import os
from typing import Any

from . import base_image, move_credentials, moved_directory, work
from .instance_paths import DISK_MODE, STATE_PATH, InstancePaths, make_directory, sync_directory

ARGUMENT_SPEC: dict[str, Any] = {
    "server_id": {"type": "str", "required": True},
    # Where the files are exported; without an address they are set aside on this very host.
    "address": {"type": "str"},
    "port": {"type": "int"},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "size_bytes": {"type": "int", "required": True},
        },
    },
    "state_path": {"type": "path", "default": STATE_PATH},
    "timeout_s": {"type": "int", "default": 14400},
}
SPEC_RULES: dict[str, Any] = {"required_together": [("address", "port")]}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have the files in the folder of `server_id`, copied as they are, holes included.

    Returns `changed`, `diff` and `copied_bytes`. A file that is there is left: it was renamed to
    its name when it was whole. Raises WorkError for a name that no server's folder has.
    """
    server_id = work.check_uuid(params["server_id"], "server id")
    paths = InstancePaths(params["state_path"])
    folder = paths.instance(server_id)
    for each in params["files"]:
        if not moved_directory.FILE_RE.fullmatch(each["name"]):
            raise work.WorkError(
                f"Refused the file {each['name']!r} for server {server_id}: no server's folder "
                "has one of that name."
            )
    aside = moved_directory.aside_of(paths, server_id)
    named = params["files"] or not os.path.isdir(aside)
    files = params["files"] if named else moved_directory.files_of(aside)
    missing = [each for each in files if not os.path.exists(os.path.join(folder, each["name"]))]
    if missing and not check_mode:
        make_directory(paths.instances)
        make_directory(folder)
        for each in missing:
            _pull(params, server_id, os.path.join(folder, each["name"]), each["size_bytes"])
        sync_directory(folder)
    after = "".join(f"{each['name']} {each['size_bytes']}\n" for each in files)
    before = "" if missing else after
    return {
        "changed": bool(missing),
        "diff": [work.text_diff(f"folder {folder}", before, after)],
        "copied_bytes": sum(each["size_bytes"] for each in missing),
    }


def _pull(params: dict[str, Any], server_id: str, path: str, size_bytes: int) -> None:
    partial, name = f"{path}.part", os.path.basename(path)
    with (
        base_image.partial_files_removed(partial),
        base_image.full_disk_explained(f"copy {name} of server {server_id}", path),
    ):
        work.remove_file(partial)
        if size_bytes:
            work.run_command(
                _command(params, server_id, name, partial), timeout=params["timeout_s"]
            )
        with open(partial, "ab") as file:
            # NBD counts in sectors.
            file.truncate(size_bytes)
            os.fsync(file.fileno())
        os.chmod(partial, DISK_MODE)
        os.replace(partial, path)


def _command(params: dict[str, Any], server_id: str, name: str, partial: str) -> list[str]:
    if not params.get("address"):
        aside = moved_directory.aside_of(InstancePaths(params["state_path"]), server_id)
        return ["cp", "--sparse=always", "--reflink=auto", os.path.join(aside, name), partial]
    credentials = move_credentials.folder(params["state_path"], server_id)
    return [
        "qemu-img", "convert", "-W", "-O", "raw",
        "--object", f"tls-creds-x509,id=tls,dir={credentials},endpoint=client,verify-peer=yes",
        "--image-opts",
        "driver=raw,file.driver=nbd,file.server.type=inet,"
        f"file.server.host={params['address']},file.server.port={params['port']},"
        f"file.export={name},file.tls-creds=tls",
        partial,
    ]  # fmt: skip
