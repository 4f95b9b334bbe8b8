"""What a guest is told about itself, pushed into the folder of its network's metadata server."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
from typing import Any

from . import guest_documents, network_files, work

FILE_MODE = 0o640

ARGUMENT_SPEC: dict[str, Any] = {
    "server": {"type": "dict"},
    "network_id": {"type": "str", "required": True},
    "ips": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "secrets": {"type": "dict", "no_log": True},
    "state_path": {"type": "path", "default": network_files.STATE_PATH},
}
SPEC_RULES: dict[str, Any] = {"required_if": [("state", "present", ["server"])]}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the documents of the addresses `ips` into their state; the module's work.

    The diff shows paths, sizes and digests: documents may hold secrets.
    """
    files = network_files.NetworkFiles(params["network_id"], params["state_path"])
    paths = [_path(files, ip) for ip in params["ips"]]
    if params["state"] == "absent":
        return _result(files, paths, "", check_mode, gid=None)
    server = params["server"]
    documents = guest_documents.documents(server, params["secrets"] or {})
    gid = _group(files, check_mode)
    is_new = not any(os.path.lexists(path) for path in paths)
    text = packed(documents, password_name(server))
    result = _result(files, paths, text, check_mode, gid)
    if is_new and paths and not check_mode:
        undone = {name: params[name] for name in ("network_id", "ips", "state_path")}
        result["undo_args"] = {**undone, "state": "absent"}
    return result


def _path(files: network_files.NetworkFiles, ip: str) -> str:
    try:
        return os.path.join(files.metadata, f"{ipaddress.ip_address(ip)}.json")
    except ValueError as error:
        raise work.WorkError(
            f"Refused the address {ip!r} in network {files.network_id}: it is no IP address. "
            "Correct it."
        ) from error


def _group(files: network_files.NetworkFiles, check_mode: bool) -> int | None:
    """The group that may read the documents: that of the folder, as network_namespace made it."""
    try:
        return os.stat(files.metadata).st_gid
    except FileNotFoundError as error:
        if check_mode:
            return None
        raise work.WorkError(
            f"Cannot push metadata: network {files.network_id} is not on this host. Make it first "
            "(network_namespace)."
        ) from error


def password_name(server: dict[str, Any]) -> str:
    """Return the name of the file that keeps what the guest posts; each clearing has another."""
    serial = int((server.get("guest") or {}).get("password_serial") or 0)
    return f"{work.check_uuid(server['id'], 'server id')}.{serial}"


def _result(
    files: network_files.NetworkFiles, paths: list[str], text: str, check_mode: bool,
    gid: int | None,
) -> dict[str, Any]:  # fmt: skip
    changed, diffs = False, []
    password = json.loads(text)["password"] if text else None
    for path in paths:
        before = work.read_file(path) or ""
        posted = json.loads(before).get("password") if before else None
        if posted and posted != password:
            # Another server's, or one that was cleared.
            work.remove_file(os.path.join(files.passwords, os.path.basename(posted)), check_mode)
        if text:
            differs = work.write_file(path, text, FILE_MODE, gid, check_mode)
        else:
            differs = work.remove_file(path, check_mode)
        if differs:
            diffs.append(work.text_diff(path, outline(before), outline(text)))
        changed = changed or differs
    return {"changed": changed, "diff": diffs}


def packed(documents: dict[str, bytes], password: str = "") -> str:
    """Return the file that the metadata server reads: each body once, however many paths it has.

    `password` names the file that keeps what the guest posts.
    """
    bodies: list[str] = []
    paths: dict[str, int] = {}
    places: dict[bytes, int] = {}
    for path, body in sorted(documents.items()):
        if body not in places:
            places[body] = len(bodies)
            bodies.append(base64.b64encode(body).decode())
        paths[path] = places[body]
    return json.dumps({"paths": paths, "bodies": bodies, "password": password})


def outline(text: str) -> str:
    """Return a line for each body of a packed file: its newest path, bytes, start of a digest.

    A body is served under the path of each version that it is the same in: those are counted.
    """
    if not text:
        return ""
    held = json.loads(text)
    paths: dict[int, list[str]] = {}
    for path, index in sorted(held["paths"].items()):
        paths.setdefault(index, []).append(path)
    lines = []
    for index, of_body in paths.items():
        body = base64.b64decode(held["bodies"][index])
        # `latest` comes behind the dates.
        others = f" and {len(of_body) - 1} more paths" if len(of_body) > 1 else ""
        digest = hashlib.sha256(body).hexdigest()[:12]
        lines.append(f"/{of_body[-1]} {len(body)} bytes {digest}{others}\n")
    if (serial := held.get("password", "").rpartition(".")[2]) not in ("", "0"):
        lines.append(f"password cleared {serial} times\n")
    return "".join(sorted(lines))
