"""The disk with a guest's documents (ISO 9660, label config-2): the work of `config_drive`."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
from typing import Any

from . import base_image, guest_documents, work
from .instance_paths import DISK_MODE, STATE_PATH, InstancePaths, make_directory, sync_directory

ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "server": {"type": "dict"},
    "secret": {
        "type": "dict",
        "no_log": True,
        "options": {
            "user_data": {"type": "str", "no_log": True},
            "admin_pass": {"type": "str", "no_log": True},
        },
    },
    "only_if_missing": {"type": "bool", "default": False},
    "state_path": {"type": "path", "default": STATE_PATH},
}
SPEC_RULES: dict[str, Any] = {"required_if": [("state", "present", ["server"])]}

LABEL = "config-2"
SUM_SUFFIX = ".sum"
# Shown by name and size only: user data often holds secrets, whatever its owner was told.
HIDDEN_FILES = frozenset({"user_data", "user-data"})
HIDDEN_KEYS = frozenset({"admin_pass", "random_seed"})


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Make or remove the config drive `path` of `server`; see the module config_drive.

    Idempotent by content: a salted digest of the documents lies beside (`<path>.sum`), so the
    secrets in them need not be read back. Returns `changed`, `diff` and `path`.
    """
    path = params["path"]
    paths = InstancePaths(params.get("state_path") or STATE_PATH)
    server_id = paths.check_file(path, "config drive")
    if os.path.basename(path) != "disk.config":
        raise work.WorkError(f"Refused the config drive {path!r}: its name must be disk.config.")
    if params.get("state") == "absent":
        return _remove(path, check_mode)
    server, secret = params["server"], params.get("secret") or {}
    if server["id"] != server_id:
        raise work.WorkError(
            f"Refused the config drive {path}: it is in the folder of server {server_id}, but the "
            f"documents are those of server {server['id']}."
        )
    if params.get("only_if_missing") and os.path.isfile(path):
        return {"changed": False, "path": path, "diff": []}
    made = guest_documents.documents(server, secret, for_config_drive=True)
    changed = not _is_current(path, made)
    shown = _shown(made)
    before = "" if not os.path.lexists(path) else "other documents\n" if changed else shown
    result = {
        "changed": changed,
        "path": path,
        "diff": [work.text_diff(f"config drive {path}", before, shown)],
    }
    if changed and not check_mode:
        existed = os.path.lexists(path)
        _write(path, made)
        if not existed:
            result["undo_args"] = {
                "path": path,
                "state": "absent",
                "state_path": paths.state_path,
            }
    return result


def _remove(path: str, check_mode: bool) -> dict[str, Any]:
    changed = work.remove_file(path, check_mode)
    work.remove_file(path + SUM_SUFFIX, check_mode)
    before = "present\n" if changed else ""
    return {
        "changed": changed,
        "path": path,
        "diff": [work.text_diff(f"config drive {path}", before, "")],
    }


def _digest(salt: str, made: guest_documents.Documents) -> str:
    digest = hashlib.sha256(salt.encode())
    for name, content in sorted(made.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _is_current(path: str, made: guest_documents.Documents) -> bool:
    salt, _, digest = (work.read_file(path + SUM_SUFFIX) or "").strip().partition(" ")
    return os.path.isfile(path) and secrets.compare_digest(digest, _digest(salt, made))


def _write(path: str, made: guest_documents.Documents) -> None:
    folder = os.path.dirname(path)
    make_directory(folder)
    partial = path + ".new"
    # The old sum goes first: a new drive with an old sum would pass for unchanged.
    work.remove_file(path + SUM_SUFFIX)
    with (
        base_image.partial_files_removed(partial),
        base_image.full_disk_explained(f"make the config drive {path}", path),
        tempfile.TemporaryDirectory(prefix=".disk.config.", dir=folder) as staging,
    ):
        for name, content in made.items():
            target = os.path.join(staging, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(content)
        # The options are Nova's: guests know the result.
        work.run_command(
            [
                *("genisoimage", "-quiet", "-o", partial, "-V", LABEL),
                *("-publisher", "Novella", "-ldots", "-allow-lowercase", "-allow-multidot"),
                *("-l", "-J", "-r", staging),
            ]
        )
        os.chmod(partial, DISK_MODE)
        os.replace(partial, path)
        sync_directory(folder)
    salt = secrets.token_hex(16)
    work.write_file(path + SUM_SUFFIX, f"{salt} {_digest(salt, made)}\n", 0o600)


def _shown(made: guest_documents.Documents) -> str:
    """The drive in words, for people: the newest documents, without what must stay hidden."""
    lines = []
    for name, content in sorted(made.items()):
        lines.append(f"{name}: {len(content)} bytes")
        if name.startswith("openstack/latest/") and os.path.basename(name) not in HIDDEN_FILES:
            document = json.loads(content)
            for key in HIDDEN_KEYS & document.keys():
                document[key] = "(hidden)"
            text = json.dumps(document, indent=2, ensure_ascii=False)
            lines += [f"  {line}" for line in text.splitlines()]
    return "\n".join(lines) + "\n"
