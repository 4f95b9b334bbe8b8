"""A flattened copy of a server's disk, taken while it runs or not: the work of `disk_snapshot`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import quoteattr

from . import base_image, domain_xml, fence, image_inspection, libvirt_connection, work
from .instance_paths import DISK_MODE, STATE_PATH, InstancePaths, sync_directory

ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "snapshot_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "quiesce": {"type": "str", "choices": ["no", "try", "must"], "default": "no"},
    "max_bytes": {"type": "int"},
    "disk_work_slots": {"type": "int", "default": base_image.DISK_WORK_SLOTS},
    # For the action plugin, on Ansible's side; the host has no use for it.
    "fetch_to": {"type": "path"},
    "fetch_reserve_bytes": {"type": "int"},
    "cloud_id": {"type": "str", "default": fence.NO_CLOUD},
    "override": {"type": "bool", "default": False},
    "state_path": {"type": "path", "default": STATE_PATH},
    "uri": {"type": "str", "default": libvirt_connection.URI},
}

POLL_S = 0.1
# A copy that comes no further for so long is given up.
STALLED_S = 120.0
CHUNK_BYTES = 1 << 20


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have a copy of the disk `path` that stands by itself, or none; see the module disk_snapshot.

    A guest that runs goes on: its disk is mirrored by QEMU, and the mirror is cut off at one point
    in time, with the guest's filesystems frozen if `quiesce` says so. A copy that is whole is not
    made again. Returns `changed`, `diff` and (present) `snapshot` {path, size_bytes, sha256}.
    """
    paths = InstancePaths(params.get("state_path") or STATE_PATH)
    server_id = paths.check_disk(params["path"])
    snapshot_id = work.check_uuid(params["snapshot_id"], "snapshot id")
    copy = os.path.join(paths.instance(server_id), f"snapshot.{snapshot_id}")
    if params.get("state") == "absent":
        return _remove(params, server_id, copy, check_mode)
    kept = _kept(copy)
    if kept is None and check_mode:
        return {"changed": True, "diff": [work.text_diff(copy, "", "a copy of the disk\n")]}
    if kept is not None:
        return {"changed": False, "diff": [], "snapshot": kept}
    if not os.path.exists(params["path"]):
        raise work.WorkError(f"Cannot copy the disk {params['path']}: it is not on this host.")
    made = _make(params, paths, server_id, copy)
    shown = f"size_bytes: {made['size_bytes']}\n"
    return {"changed": True, "diff": [work.text_diff(copy, "", shown)], "snapshot": made}


def _kept(copy: str) -> dict[str, Any] | None:
    """Return what is known of a copy that is whole."""
    try:
        facts = json.loads(work.read_file(f"{copy}.info") or "")
        if os.path.getsize(copy) == facts["size_bytes"]:
            return {"path": copy, **facts}
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return None


def _make(
    params: dict[str, Any], paths: InstancePaths, server_id: str, copy: str
) -> dict[str, Any]:
    part = f"{copy}.part"
    slots = params.get("disk_work_slots") or base_image.DISK_WORK_SLOTS
    with (
        base_image.partial_files_removed(part),
        base_image.full_disk_explained(f"copy the disk {params['path']}", copy),
        base_image.disk_work_slot(paths, slots),
        libvirt_connection.connected(params.get("uri")) as connection,
    ):
        domain = libvirt_connection.lookup(connection, server_id)
        if domain is not None and domain.isActive():
            _check_owner(params, domain)
            _mirror(domain, params, part)
        else:
            _convert(params["path"], part)
        header = image_inspection.read_qcow2_header(part)
        if header.backing_file is not None or header.external_data_file:
            raise work.WorkError(f"The copy of {params['path']} does not stand by itself.")
        facts = _facts(part, params.get("max_bytes"))
        work.write_file(f"{copy}.info", json.dumps(facts) + "\n", 0o600)
        os.replace(part, copy)
        sync_directory(os.path.dirname(copy))
    return {"path": copy, **facts}


def _check_owner(params: dict[str, Any], domain: Any) -> None:
    owner = domain_xml.marked_cloud(libvirt_connection.definition(domain))
    if owner != params["cloud_id"] and not params["override"]:
        raise work.WorkError(
            f"Refused to copy the disk {params['path']}: its domain bears the mark of "
            f"{owner or 'no cloud'}, and this run is for cloud {params['cloud_id']}. Run it for "
            "that cloud, or with override: true."
        )


def _facts(path: str, max_bytes: int | None) -> dict[str, Any]:
    """Return size and SHA-256 of the copy, safe on disk. Raises WorkError when it is too large."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if max_bytes is not None and size > max_bytes:
            raise work.WorkError(
                f"Refused a copy of {size} bytes: {max_bytes} are left for this image. Delete "
                "images, or ask for a larger quota.",
                too_large=True,
            )
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
        os.fsync(file.fileno())
    return {"size_bytes": size, "sha256": digest.hexdigest()}


def _convert(path: str, part: str) -> None:
    work.run_command(
        ["qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", path, part],
        timeout=base_image.CONVERT_TIMEOUT_S,
    )
    os.chmod(part, DISK_MODE)


def _mirror(domain: Any, params: dict[str, Any], part: str) -> None:
    import libvirt

    path = params["path"]
    target = _target(domain, path)
    _end_job(domain, target)
    size_bytes = image_inspection.read_qcow2_header(path).virtual_size_bytes
    work.run_command(["qemu-img", "create", "-q", "-f", "qcow2", part, str(size_bytes)])
    os.chmod(part, DISK_MODE)
    # QEMU writes it, as whoever it runs.
    owner = os.stat(path)
    os.chown(part, owner.st_uid, owner.st_gid)
    destination = f"<disk type='file'><source file={quoteattr(part)}/><driver type='qcow2'/></disk>"
    flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    try:
        with libvirt_connection.explained(f"copy the disk {path} of a domain that runs"):
            domain.blockCopy(target, destination, {}, flags)
            _wait_for_mirror(domain, target, path)
            with quiesced(domain, params["quiesce"]):
                # A mirror that is ready and is given up is the disk as it is now.
                domain.blockJobAbort(target, 0)
    except BaseException:
        _end_job(domain, target)
        raise


def _target(domain: Any, path: str) -> str:
    for disk in libvirt_connection.definition(domain, live=True).iterfind("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None and source.get("file") == path:
            return str(target.get("dev"))
    raise work.WorkError(
        f"Cannot copy the disk {path}: the domain runs without it. Hard reboot the server first."
    )


def _wait_for_mirror(domain: Any, target: str, path: str) -> None:
    done, moved_at = -1, time.monotonic()
    while not _is_ready(domain, target):
        fence.look_for_starter(domain.UUIDString())
        job = domain.blockJobInfo(target, 0)
        if not job:
            raise work.WorkError(
                f"Cannot copy the disk {path}: QEMU gave the copy up. Look for errors of the disk, "
                "and for space, in the host's log of the domain."
            )
        if job["cur"] != done:
            done, moved_at = job["cur"], time.monotonic()
        elif time.monotonic() - moved_at > STALLED_S:
            raise work.WorkError(
                f"Gave up copying the disk {path}: it came no further for {STALLED_S:g} s."
            )
        time.sleep(POLL_S)


def _is_ready(domain: Any, target: str) -> bool:
    root: ET.Element = libvirt_connection.definition(domain, live=True)
    for disk in root.iterfind("devices/disk"):
        device, mirror = disk.find("target"), disk.find("mirror")
        if device is not None and device.get("dev") == target and mirror is not None:
            return mirror.get("ready") == "yes"
    return False


@contextlib.contextmanager
def quiesced(domain: Any, quiesce: str) -> Iterator[None]:
    """Hold the guest's filesystems still; where that must be, its agent's refusal is a failure."""
    import libvirt

    if quiesce == "no":
        yield
        return
    frozen = False
    try:
        domain.fsFreeze()
        frozen = True
    except libvirt.libvirtError as error:
        if quiesce == "must":
            raise work.WorkError(
                f"Cannot quiesce domain {domain.name()}: {error.get_error_message()}. Start the "
                "guest agent in the guest, or take os_require_quiesce off the image."
            ) from error
    try:
        yield
    finally:
        if frozen:
            domain.fsThaw()


def _end_job(domain: Any, target: str) -> None:
    """End a copy that an earlier run left at work."""
    import libvirt

    with contextlib.suppress(libvirt.libvirtError):
        if domain.blockJobInfo(target, 0):
            domain.blockJobAbort(target, 0)


def _remove(params: dict[str, Any], server_id: str, copy: str, check_mode: bool) -> dict[str, Any]:
    found = [path for path in (copy, f"{copy}.part", f"{copy}.info") if os.path.lexists(path)]
    if found and not check_mode:
        with libvirt_connection.connected(params.get("uri")) as connection:
            domain = libvirt_connection.lookup(connection, server_id)
            if domain is not None and domain.isActive() and f"{copy}.part" in found:
                _end_job(domain, _target(domain, params["path"]))
        for path in found:
            work.remove_file(path)
    diff = [work.text_diff(path, "a copy of the disk\n", "") for path in found]
    return {"changed": bool(found), "diff": diff}
