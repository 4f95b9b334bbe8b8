"""Folders and small files of a host: the work of the module `host_files`."""

from __future__ import annotations

import glob
import os
import stat
from typing import Any

from . import work

ARGUMENT_SPEC: dict[str, Any] = {
    "folders": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "mode": {"type": "str", "default": "0755"},
        },
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "required": True},
            "mode": {"type": "str", "default": "0644"},
        },
    },
    "absent": {"type": "list", "elements": "path", "default": []},
}

Diffs = dict[str, dict[str, str]]


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have the folders and files, and remove what must be absent; see the module host_files.

    Returns `changed`, `paths` (what changed) and `diff`. Raises WorkError for a mode that is not
    octal, and for something else in a folder's or a file's place.
    """
    diffs: Diffs = {}
    for folder in params.get("folders") or []:
        _have_folder(folder["path"], _octal(folder), check_mode, diffs)
    for file in params.get("files") or []:
        _have_file(file["path"], file["content"], _octal(file), check_mode, diffs)
    for pattern in params.get("absent") or []:
        for path in sorted(glob.glob(pattern)):
            _remove(path, check_mode, diffs)
    return {"changed": bool(diffs), "paths": sorted(diffs), "diff": list(diffs.values())}


def _octal(entry: dict[str, Any]) -> int:
    try:
        return int(entry["mode"], 8)
    except ValueError as error:
        raise work.WorkError(
            f"Refused the mode {entry['mode']!r} of {entry['path']}: it is not octal. "
            "Quote it, such as '0755'."
        ) from error


def _have_folder(path: str, mode: int, check_mode: bool, diffs: Diffs) -> None:
    status = _status(path, follow=True)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        raise work.WorkError(
            f"Cannot make the folder {path}: something else has that name. Move it away, or name "
            "another folder."
        )
    if status is not None and _is_ours(status, mode):
        return
    diffs[path] = work.text_diff(path, _described(status), _wanted("folder", mode))
    if check_mode:
        return
    try:
        os.makedirs(path, exist_ok=True)
        os.chown(path, os.geteuid(), os.getegid())
        os.chmod(path, mode)
    except OSError as error:
        raise work.WorkError(
            f"Cannot make the folder {error.filename or path}: {error.strerror}."
        ) from error


def _have_file(path: str, content: str, mode: int, check_mode: bool, diffs: Diffs) -> None:
    status = _status(path, follow=False)
    if status is not None and stat.S_ISDIR(status.st_mode):
        raise work.WorkError(
            f"Cannot write the file {path}: a folder has that name. Move it away, or name another."
        )
    before = work.read_file(path)
    # A link is replaced: what it points to is not ours.
    is_regular = status is not None and stat.S_ISREG(status.st_mode)
    if is_regular and _is_ours(status, mode) and before == content:
        return
    diffs[path] = work.text_diff(
        path, _described(status) + (before or ""), _wanted("file", mode) + content
    )
    if check_mode:
        return
    if is_regular and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(path, os.geteuid(), os.getegid())
    work.write_file(path, content, mode)


def _remove(path: str, check_mode: bool, diffs: Diffs) -> None:
    status = _status(path, follow=False)
    if status is None or stat.S_ISDIR(status.st_mode):
        return
    diffs[path] = work.text_diff(path, _described(status), "")
    work.remove_file(path, check_mode)


def _status(path: str, follow: bool) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_ours(status: os.stat_result, mode: int) -> bool:
    owners = (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
    return owners and stat.S_IMODE(status.st_mode) == mode


def _described(status: os.stat_result | None) -> str:
    if status is None:
        return ""
    mode = stat.S_IMODE(status.st_mode)
    return f"{stat.filemode(status.st_mode)} {mode:04o} {status.st_uid}:{status.st_gid}\n"


def _wanted(kind: str, mode: int) -> str:
    letters = stat.filemode(mode | (stat.S_IFDIR if kind == "folder" else stat.S_IFREG))
    return f"{letters} {mode:04o} {os.geteuid()}:{os.getegid()}\n"
