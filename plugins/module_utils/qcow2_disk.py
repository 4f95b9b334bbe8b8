"""A server's disk, a qcow2 overlay on a shared base or an empty qcow2: the work of `qcow2_disk`."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import Any

from . import base_image, formatted_base, image_inspection, work
from .instance_paths import DISK_MODE, STATE_PATH, InstancePaths, make_directory, sync_directory

ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "state": {
        "type": "str",
        "choices": ["present", "kept", "base", "absent"],
        "default": "present",
    },
    "size_gb": {"type": "int"},
    "size_mb": {"type": "int"},
    "base": {
        "type": "dict",
        "options": {
            "image_id": {"type": "str", "required": True},
            "format": {
                "type": "str",
                "required": True,
                "choices": list(image_inspection.DECLARED_FORMATS),
            },
            "checksum": {"type": "str"},
            "size_bytes": {"type": "int"},
            "virtual_size_bytes": {"type": "int"},
            "source": {"type": "path"},
            # For the action plugin, on Ansible's side; the host has no use for it.
            "stream_from": {"type": "path"},
        },
    },
    "content": {
        "type": "str",
        "choices": ["overlay", "standalone", "ext4", "vfat", "swap", "blank"],
    },
    "state_path": {"type": "path", "default": STATE_PATH},
    "disk_work_slots": {"type": "int", "default": base_image.DISK_WORK_SLOTS},
}
SPEC_RULES: dict[str, Any] = {
    "mutually_exclusive": [("size_gb", "size_mb")],
    "required_if": [("content", "overlay", ["base"]), ("content", "standalone", ["base"])],
}

FORMAT = "qcow2"
IMAGE_CONTENTS = ("overlay", "standalone")
RESIZE_TIMEOUT_S = 120


@dataclass(frozen=True)
class Disk:
    """The disk that is wanted."""

    path: str
    content: str
    size_bytes: int | None  # None: as large as its base
    image: base_image.BaseImage | None


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Make, grow, keep or remove the disk `path`; see the module qcow2_disk for the parameters.

    Returns `changed`, `diff`, and (present) `disk` {path, format, virtual_size_bytes,
    backing_file} and `base` {path, made}. Raises WorkError for what is refused, with
    `missing_base` when the image's bytes have yet to be brought to the host.
    """
    paths = InstancePaths(params.get("state_path") or STATE_PATH)
    paths.check_disk(params["path"])
    if params.get("state") == "absent":
        return _remove(params["path"], check_mode)
    if params.get("state") == "kept":
        _check_there(params["path"])
        if not any(params.get(name) for name in ("base", "content", "size_gb", "size_mb")):
            return {"changed": False, "diff": []}
    disk = _wanted(params)
    if disk.image and _stands_alone(disk.path):
        # Whatever image the server is of: nothing of it is needed any more.
        disk = Disk(disk.path, "blank", disk.size_bytes, None)
    with base_image.in_use(_base_path(disk, paths), paths, check_mode):
        base = _ensure_base(disk, paths, params, check_mode)
        if params.get("state") == "base":
            result: dict[str, Any] = {"changed": False, "diff": []}
        elif os.path.lexists(disk.path):
            result = _keep_or_grow(disk, base, check_mode)
        else:
            result = _create(disk, base, params, check_mode)
    if base is None:
        return result
    if base.made:
        shown = f"format: raw\nsize_bytes: {base.virtual_size_bytes or 'as the image says'}\n"
        result["changed"] = True
        result["diff"].insert(0, work.text_diff(f"base {base.path}", "", shown))
    result["base"] = {"path": base.path, "made": base.made}
    return result


def _check_there(path: str) -> None:
    """Raise WorkError when the disk `path` is gone: the base holds nothing that a guest wrote."""
    # Not lexists: a link to storage that is not mounted leads nowhere.
    if not os.path.exists(path):
        raise work.WorkError(
            f"Refused to go on without the disk {path}: it is gone from host "
            f"{os.uname().nodename}, and what the server had written to it can't be made again. "
            "Mount its storage or restore the file there; or, if its content may go, delete the "
            "server and create it anew.",
            disk_gone=path,
        )


def _wanted(params: dict[str, Any]) -> Disk:
    size_bytes = (params.get("size_gb") or 0) << 30 or (params.get("size_mb") or 0) << 20
    base = params.get("base")
    content = params.get("content") or ("overlay" if base else "blank")
    if (content in IMAGE_CONTENTS) != bool(base):
        raise work.WorkError(
            f"Refused the disk {params['path']}: content {content} and base don't go together. "
            "An overlay and a standalone disk have a base; ext4, vfat, swap and blank have none."
        )
    if size_bytes < 0 or (content not in IMAGE_CONTENTS and not size_bytes):
        raise work.WorkError(
            f"Refused the disk {params['path']}: a disk of {size_bytes} bytes can't be made. Give "
            "size_gb or size_mb above 0."
        )
    image = base_image.image_from(base) if base else None
    return Disk(params["path"], content, size_bytes or None, image)


def _ensure_base(
    disk: Disk, paths: InstancePaths, params: dict[str, Any], check_mode: bool
) -> base_image.BaseFile | None:
    slots = params.get("disk_work_slots") or base_image.DISK_WORK_SLOTS
    if disk.image:
        return base_image.ensure_image(disk.image, paths, disk.size_bytes, check_mode, slots)
    size_bytes = _formatted_bytes(disk, paths)
    if size_bytes:
        return formatted_base.ensure_formatted(disk.content, size_bytes, paths, check_mode, slots)
    return None


def _base_path(disk: Disk, paths: InstancePaths) -> str | None:
    if disk.image:
        return base_image.path_of(disk.image.image_id, paths)
    size_bytes = _formatted_bytes(disk, paths)
    if size_bytes:
        return formatted_base.formatted_base_path(disk.content, size_bytes, paths)
    return None


def _formatted_bytes(disk: Disk, paths: InstancePaths) -> int | None:
    """Return the size of the formatted base that the disk stands on, None for other disks."""
    if disk.content not in formatted_base.FORMATTERS or not disk.size_bytes:
        return None
    # A disk that has grown still stands on the base of its first size.
    backing = _backing_file(disk.path) or ""
    return formatted_base.size_of(backing, disk.content, paths) or disk.size_bytes


def _stands_alone(path: str) -> bool:
    return (
        os.path.isfile(path)
        and image_inspection.detect_format(path) == FORMAT
        and image_inspection.read_qcow2_header(path).backing_file is None
    )


def _backing_file(path: str) -> str | None:
    return image_inspection.read_qcow2_header(path).backing_file if os.path.lexists(path) else None


def _create(
    disk: Disk, base: base_image.BaseFile | None, params: dict[str, Any], check_mode: bool
) -> dict[str, Any]:
    size_bytes = disk.size_bytes or (base.virtual_size_bytes if base else None)
    backing = base.path if base and disk.content != "standalone" else None
    result = {
        "changed": True,
        "diff": [work.text_diff(f"disk {disk.path}", "", _description(size_bytes, backing))],
        "disk": _facts(disk.path, size_bytes, backing),
    }
    if check_mode:
        return result
    make_directory(os.path.dirname(disk.path))
    partial = disk.path + ".new"
    with (
        base_image.partial_files_removed(partial),
        base_image.full_disk_explained(f"make the disk {disk.path}", disk.path),
    ):
        if base and disk.content == "standalone":
            _copy_base(base.path, partial, disk.size_bytes)
        else:
            backing_options = ["-F", "raw", "-b", backing] if backing else []
            size = [str(disk.size_bytes)] if disk.size_bytes else []
            work.run_command(
                ["qemu-img", "create", "-q", "-f", FORMAT, *backing_options, partial, *size]
            )
        os.chmod(partial, DISK_MODE)
        # The record first: a disk without one would be refused by the next run.
        _record_format(disk.path, FORMAT)
        os.replace(partial, disk.path)
        sync_directory(os.path.dirname(disk.path))
    result["undo_args"] = {
        "path": disk.path,
        "state": "absent",
        "state_path": params.get("state_path") or STATE_PATH,
    }
    return result


def _copy_base(base: str, partial: str, size_bytes: int | None) -> None:
    work.run_command(
        ["qemu-img", "convert", "-f", "raw", "-O", FORMAT, base, partial],
        timeout=base_image.CONVERT_TIMEOUT_S,
    )
    if size_bytes:
        _grow(partial, size_bytes)


def _keep_or_grow(disk: Disk, base: base_image.BaseFile | None, check_mode: bool) -> dict[str, Any]:
    header = _check_present(disk, base)
    wanted_bytes = disk.size_bytes or header.virtual_size_bytes
    if wanted_bytes < header.virtual_size_bytes:
        raise work.WorkError(
            f"Cannot shrink the disk {disk.path} from {header.virtual_size_bytes} to "
            f"{wanted_bytes} bytes: the guest's data would be cut off. Ask for a size of at least "
            f"{-(-header.virtual_size_bytes >> 20)} MiB."
        )
    before = _description(header.virtual_size_bytes, header.backing_file)
    after = _description(wanted_bytes, header.backing_file)
    grow = wanted_bytes > header.virtual_size_bytes
    unrecorded = disk.path not in _recorded_formats(disk.path)
    if not check_mode:
        if grow:
            _grow(disk.path, wanted_bytes)
        _record_format(disk.path, FORMAT)
    return {
        "changed": grow or unrecorded,
        "diff": [work.text_diff(f"disk {disk.path}", before, after)],
        "disk": _facts(disk.path, wanted_bytes, header.backing_file),
    }


def _check_present(disk: Disk, base: base_image.BaseFile | None) -> image_inspection.Qcow2Header:
    """Return the header of the disk that is there, once it is the kind of disk that is wanted."""
    recorded = _recorded_formats(disk.path).get(disk.path, FORMAT)
    detected = image_inspection.detect_format(disk.path)
    if recorded != FORMAT or detected != FORMAT:
        raise work.WorkError(
            f"Refused the disk {disk.path}: it is recorded as {recorded} and its bytes show "
            f"{detected}; {FORMAT} is expected. Restore it from a backup, or remove it to have an "
            "empty one made."
        )
    header = image_inspection.read_qcow2_header(disk.path)
    expected = base.path if base else None
    if header.backing_file != expected or (expected and header.backing_format != "raw"):
        raise work.WorkError(
            f"Refused the disk {disk.path}: it stands on {header.backing_file} "
            f"({header.backing_format}), not on {expected} (raw), so it was made of something "
            "else. Delete the server's disk first if its content may go."
        )
    return header


def _grow(path: str, size_bytes: int) -> None:
    with base_image.full_disk_explained(f"grow the disk {path}", path):
        try:
            work.run_command(
                ["qemu-img", "resize", "-q", "-f", FORMAT, path, str(size_bytes)],
                timeout=RESIZE_TIMEOUT_S,
            )
        except work.WorkError as error:
            if "lock" not in error.msg:
                raise
            raise work.WorkError(
                f"Cannot grow the disk {path}: a running domain has it open. Stop the server first."
            ) from error


def take_place(made: str, path: str) -> None:
    """Put the disk `made` where the disk `path` of the same server was, whose content goes."""
    _record_format(path, FORMAT)
    os.replace(made, path)
    sync_directory(os.path.dirname(path))
    _record_format(made, None)


def _remove(path: str, check_mode: bool) -> dict[str, Any]:
    before = ""
    if os.path.lexists(path):
        before = f"format: {_recorded_formats(path).get(path, 'unknown')}\n"
    changed = work.remove_file(path, check_mode)
    if not check_mode:
        work.remove_file(path + ".new")
        _record_format(path, None)
        # The folder goes with the last file in it.
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(path))
    return {"changed": changed, "diff": [work.text_diff(f"disk {path}", before, "")]}


def _info_path(path: str) -> str:
    return os.path.join(os.path.dirname(path), "disk.info")


def _recorded_formats(path: str) -> dict[str, str]:
    text = work.read_file(_info_path(path))
    if text is None:
        return {}
    try:
        recorded = json.loads(text)
    except ValueError:
        recorded = None
    if not isinstance(recorded, dict):
        raise work.WorkError(
            f"Cannot tell the format of {path}: {_info_path(path)} is damaged. Write it again as "
            f'{{"{path}": "{FORMAT}"}} once you have looked at the disk.'
        )
    return recorded


def _record_format(path: str, disk_format: str | None) -> None:
    """Pin the format of a disk beside it (None: forget it), so that a guest can't change it."""
    if not os.path.isdir(os.path.dirname(path)):
        return
    recorded = _recorded_formats(path)
    if recorded.get(path) == disk_format:
        return
    if disk_format:
        recorded[path] = disk_format
    else:
        recorded.pop(path, None)
    if recorded:
        work.write_file(_info_path(path), json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    else:
        work.remove_file(_info_path(path))


def _description(size_bytes: int | None, backing_file: str | None) -> str:
    lines = [f"format: {FORMAT}", f"virtual_size_bytes: {size_bytes or 'as its base'}"]
    if backing_file:
        lines += [f"backing_file: {backing_file}", "backing_format: raw"]
    return "\n".join(lines) + "\n"


def _facts(path: str, size_bytes: int | None, backing_file: str | None) -> dict[str, Any]:
    return {
        "path": path,
        "format": FORMAT,
        "virtual_size_bytes": size_bytes,
        "backing_file": backing_file,
    }
