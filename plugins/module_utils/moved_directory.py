"""The folder of a server that is moving, set aside and exported: the work of `moved_directory`.

Follows OpenStack Nova's libvirt driver, which renames the folder to `<uuid>_resize` until the move
is confirmed or reverted.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import time
from signal import SIGKILL, SIGTERM
from typing import Any

from . import image_inspection, move_credentials, work
from .instance_directory import check_not_running
from .instance_paths import STATE_PATH, InstancePaths, sync_directory

ARGUMENT_SPEC: dict[str, Any] = {
    "server_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["aside", "returned", "absent"], "default": "aside"},
    # The common name of the one host that may read the folder's files; none ends the export.
    "export_to": {"type": "str"},
    "export_address": {"type": "str"},
    "export_ports": {"type": "str", "default": "49216-49279"},
    "state_path": {"type": "path", "default": STATE_PATH},
}
SPEC_RULES: dict[str, Any] = {"required_by": {"export_to": ["export_address"]}}

SUFFIX = "_resize"
# What of a server's folder goes with it; swap and libvirt.xml are made again where it comes to.
FILE_RE = re.compile(r"disk(?!\.swap$)(\.[a-z0-9]+)*|console\.log|domain\.info")
END_TIMEOUT_S = 10.0


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the folder of `server_id` into `state`; see the module moved_directory.

    Returns `changed`, `diff` and (exported) `export` {port, files: [{name, size_bytes}]}, in check
    mode as it would be. Raises
    WorkError while the server's QEMU runs, and when the folder is in neither place.
    """
    server_id = work.check_uuid(params["server_id"], "server id")
    paths = InstancePaths(params["state_path"])
    own = paths.instance(server_id)
    aside = own + SUFFIX
    changed = False
    if not params.get("export_to"):
        changed = _end_export(params["state_path"], server_id, check_mode)
    before = _shown(own, aside)
    if params["state"] == "absent":
        changed |= _remove(aside, check_mode)
    elif params["state"] == "aside":
        changed |= _rename(server_id, own, aside, check_mode)
    else:
        changed |= _rename(server_id, aside, own, check_mode)
    after = _shown(own, aside) if not check_mode else _expected(params["state"], own, aside, before)
    result: dict[str, Any] = {
        "changed": changed,
        "diff": [work.text_diff(f"folder {own}", before, after)],
    }
    if params.get("export_to") and check_mode:
        result["export"] = _foreseen(params, own if os.path.isdir(own) else aside)
    elif params.get("export_to"):
        export, started = _export(params, server_id, aside)
        result |= {"export": export, "changed": changed or started}
    return result


def aside_of(paths: InstancePaths, server_id: str) -> str:
    """Return where the folder of a server lies that was set aside."""
    return paths.instance(server_id) + SUFFIX


def files_of(folder: str) -> list[dict[str, Any]]:
    """Return the files that go with a server: name and size_bytes."""
    return [
        {"name": name, "size_bytes": os.path.getsize(os.path.join(folder, name))}
        for name in sorted(os.listdir(folder))
        if FILE_RE.fullmatch(name) and os.path.isfile(os.path.join(folder, name))
    ]


def _rename(server_id: str, source: str, target: str, check_mode: bool) -> bool:
    if os.path.isdir(target) and not os.path.lexists(source):
        return False
    if not os.path.isdir(source):
        raise work.WorkError(
            f"Cannot move the folder of server {server_id} on this host: {source} is not there. "
            "Look at which host has the server's disks."
        )
    if os.path.lexists(target):
        raise work.WorkError(
            f"Refused to put the folder of server {server_id} to {target}: that is there already, "
            "and so is the folder itself. Look which of them is the server's, and remove the other."
        )
    if not check_mode:
        check_not_running(server_id)
        os.rename(source, target)
        sync_directory(os.path.dirname(target))
    return True


def _remove(aside: str, check_mode: bool) -> bool:
    if not os.path.lexists(aside):
        return False
    if not check_mode:
        shutil.rmtree(aside)
    return True


def _pid_file(state_path: str, server_id: str) -> str:
    return os.path.join(move_credentials.folder(state_path, server_id), "export.pid")


def _export_pid(state_path: str, server_id: str) -> int | None:
    """Return the process of the server's export, None when there is none."""
    text = (work.read_file(_pid_file(state_path, server_id)) or "").strip()
    command = work.read_file(f"/proc/{text}/cmdline") if text.isdecimal() else None
    # The number may be another process's by now.
    return int(text) if command and server_id in command else None


def _end_export(state_path: str, server_id: str, check_mode: bool) -> bool:
    pid = _export_pid(state_path, server_id)
    if pid is None or check_mode:
        return pid is not None
    deadline = time.monotonic() + END_TIMEOUT_S
    while _export_pid(state_path, server_id) == pid:
        late = time.monotonic() > deadline
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, SIGKILL if late else SIGTERM)
        time.sleep(0.05)
    work.remove_file(_pid_file(state_path, server_id))
    return True


def _export(params: dict[str, Any], server_id: str, aside: str) -> tuple[dict[str, Any], bool]:
    """Have the folder's files exported; return where they are, and whether that was begun now."""
    files = files_of(aside)
    export = {"files": files, "needs_base": _needs_base(aside)}
    pid = _export_pid(params["state_path"], server_id)
    if pid is not None:
        command = (work.read_file(f"/proc/{pid}/cmdline") or "").split("\0")
        port = next(each for each in command if each.startswith("addr.type=inet")).split("port=")[1]
        if f"CN={params['export_to']}" in "\0".join(command):
            return {**export, "port": int(port.split(",")[0])}, False
        _end_export(params["state_path"], server_id, check_mode=False)
    refused = "no port was tried"
    for port in _free_ports(params["export_address"], params["export_ports"]):
        try:
            work.run_command(_daemon(params, server_id, aside, files, port))
        except work.WorkError as error:
            # Somebody else may have taken the port since we looked.
            refused = error.msg
            continue
        return {**export, "port": port}, True
    raise work.WorkError(
        f"Cannot export the disks of server {server_id} on {params['export_address']}, ports "
        f"{params['export_ports']}: {refused}. Set compute_copy_ports to ports that are free."
    )


def _foreseen(params: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return what an export of the folder would be; another may have the port by then."""
    ports = _free_ports(params["export_address"], params["export_ports"])
    if not ports:
        raise work.WorkError(
            f"Cannot export the disks of server {params['server_id']}: none of the ports "
            f"{params['export_ports']} is free. Set compute_copy_ports to ports that are."
        )
    return {"files": files_of(folder), "needs_base": _needs_base(folder), "port": ports[0]}


def _needs_base(aside: str) -> bool:
    """Whether the root disk stands on its image; one that was unshelved may not."""
    disk = os.path.join(aside, "disk")
    if not os.path.isfile(disk) or image_inspection.detect_format(disk) != "qcow2":
        return True
    return image_inspection.read_qcow2_header(disk).backing_file is not None


def _daemon(
    params: dict[str, Any], server_id: str, aside: str, files: list[dict[str, Any]], port: int
) -> list[str]:
    credentials = move_credentials.folder(params["state_path"], server_id)
    pid_file = _pid_file(params["state_path"], server_id)
    argv = [
        "qemu-storage-daemon", "--daemonize", "--pidfile", pid_file,
        "--object", f"tls-creds-x509,id=tls,dir={credentials},endpoint=server,verify-peer=yes",
        "--object", f"authz-simple,id=peer,identity=CN={params['export_to']}",
        "--nbd-server",
        f"addr.type=inet,addr.host={params['export_address']},addr.port={port},"
        "tls-creds=tls,tls-authz=peer",
    ]  # fmt: skip
    for number, each in enumerate(files):
        path = os.path.join(aside, each["name"])
        argv += [
            "--blockdev", f"driver=file,node-name=f{number},filename={path},read-only=on",
            "--export", f"type=nbd,id=e{number},node-name=f{number},name={each['name']}",
        ]  # fmt: skip
    return argv


def _free_ports(address: str, ports: str) -> list[int]:
    first, _, last = ports.partition("-")
    free = []
    for port in range(int(first), int(last or first) + 1):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            free.append(port)
        if len(free) == 5:
            break
    return free


def _expected(state: str, own: str, aside: str, before: str) -> str:
    """Return what `_shown` would say afterwards."""
    if state == "absent":
        return before.replace(f"{aside}\n", "")
    return f"{aside}\n" if state == "aside" else f"{own}\n"


def _shown(own: str, aside: str) -> str:
    return "".join(f"{path}\n" for path in (own, aside) if os.path.isdir(path))
