"""Snapshots of a server's disks inside their own files, made while it runs or not.

Of the root disk and the ephemeral one, together: QEMU takes all of them at one point in time. The
guest's memory is no part of it. Swap and the config drive hold nothing that is wanted back.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from . import (
    base_image,
    disk_snapshot,
    domain_xml,
    fence,
    image_inspection,
    libvirt_connection,
    work,
)
from .instance_paths import STATE_PATH, InstancePaths

ARGUMENT_SPEC: dict[str, Any] = {
    "server_id": {"type": "str", "required": True, "aliases": ["id"]},
    "snapshot_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent", "reverted"], "default": "present"},
    "quiesce": {"type": "str", "choices": ["no", "try", "must"], "default": "try"},
    "cloud_id": {"type": "str", "default": fence.NO_CLOUD},
    "override": {"type": "bool", "default": False},
    "state_path": {"type": "path", "default": STATE_PATH},
    "uri": {"type": "str", "default": libvirt_connection.URI},
}
DISKS = ("disk", "disk.local")
TIMEOUT_S = 600


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have the snapshot on all of the server's disks, on none, or the disks as it has them.

    Returns `changed` and `diff`. Raises WorkError when there are no disks, when a snapshot that is
    to be gone back to is not on each of them or the domain is on; with the detail
    `partly_reverted` when some of the disks are as they were then, and others are not.
    """
    server_id = work.check_uuid(params["server_id"], "server id")
    name = f"novella-{work.check_uuid(params['snapshot_id'], 'snapshot id')}"
    state = params.get("state") or "present"
    disks = _disks(InstancePaths(params.get("state_path") or STATE_PATH), server_id)
    if not disks and state != "absent":
        raise work.WorkError(f"Server {server_id} has no disk on this host to take snapshots of.")
    having = [disk for disk in disks if name in names_on(disk)]
    with libvirt_connection.connected(params.get("uri")) as connection:
        domain = _domain(connection, server_id, params)
        if state == "reverted":
            _check_revert(server_id, params["snapshot_id"], domain, disks, having)
            todo = disks
        else:
            todo = [disk for disk in disks if (disk in having) == (state == "absent")]
        if todo and not check_mode:
            _WAYS[state](domain, name, todo, params.get("quiesce") or "try")
    return {"changed": bool(todo), "diff": [_diff(disk, name, state) for disk in todo]}


def names_on(disk: str) -> list[str]:
    """Return the names of the snapshots inside the qcow2 file `disk`, of a guest that runs too."""
    said = work.run_command(
        ["qemu-img", "info", "-U", "--output=json", "-f", "qcow2", disk], timeout=TIMEOUT_S
    )
    return [str(each["name"]) for each in json.loads(said).get("snapshots") or []]


def _disks(paths: InstancePaths, server_id: str) -> list[str]:
    found = [os.path.join(paths.instance(server_id), name) for name in DISKS]
    return [
        path
        for path in found
        if os.path.exists(path) and image_inspection.detect_format(path) == "qcow2"
    ]


def _domain(connection: Any, server_id: str, params: dict[str, Any]) -> Any | None:
    """Return the domain if it is on. Raises WorkError unless it is the cloud's."""
    domain = libvirt_connection.lookup(connection, server_id)
    if domain is None:
        return None
    owner = domain_xml.marked_cloud(libvirt_connection.definition(domain))
    cloud_id = params.get("cloud_id") or fence.NO_CLOUD
    if owner != cloud_id and not params.get("override"):
        raise work.WorkError(
            f"Refused to touch the disks of server {server_id}: its domain bears the mark of "
            f"{owner or 'no cloud'}, and this run is for cloud {cloud_id}. Run it for that cloud, "
            "or with override: true."
        )
    return domain if domain.isActive() else None


def _check_revert(
    server_id: str, snapshot_id: str, domain: Any | None, disks: list[str], having: list[str]
) -> None:
    if domain is not None:
        raise work.WorkError(
            f"Cannot revert server {server_id}: its domain is on, and its guest would write to "
            "disks that have changed beneath it. Stop the server first."
        )
    missing = [disk for disk in disks if disk not in having]
    if missing:
        raise work.WorkError(
            f"Cannot revert server {server_id} to snapshot {snapshot_id}: it is not on "
            f"{', '.join(missing)}. The disk was made anew since; delete the snapshot."
        )


def _make(domain: Any | None, name: str, disks: list[str], quiesce: str) -> None:
    with base_image.full_disk_explained(f"take snapshot {name}", disks[0]):
        if domain is None:
            _make_off(name, disks)
            return
        nodes = _nodes(domain, disks)
        taken = [
            {
                "type": "blockdev-snapshot-internal-sync",
                "data": {"device": nodes[disk], "name": name},
            }
            for disk in disks
        ]
        with disk_snapshot.quiesced(domain, quiesce):
            # All of them at one point in time, or none.
            _order(domain, "transaction", {"actions": taken})


def _make_off(name: str, disks: list[str]) -> None:
    made: list[str] = []
    try:
        for disk in disks:
            _qemu_img("-c", name, disk)
            made.append(disk)
    except BaseException:
        for disk in made:
            with contextlib.suppress(work.WorkError):
                _qemu_img("-d", name, disk)
        raise


def _remove(domain: Any | None, name: str, disks: list[str], _quiesce: str) -> None:
    nodes = {} if domain is None else _nodes(domain, disks)
    for disk in disks:
        if domain is None:
            _qemu_img("-d", name, disk)
        else:
            asked = {"device": nodes[disk], "name": name}
            _order(domain, "blockdev-snapshot-delete-internal-sync", asked)


def _revert(_domain: Any | None, name: str, disks: list[str], _quiesce: str) -> None:
    done = False
    for disk in disks:
        try:
            _qemu_img("-a", name, disk)
        except work.WorkError as error:
            raise work.WorkError(
                f"{error.msg} Revert again: what is reverted already stays so.",
                partly_reverted=done,
            ) from error
        done = True


_WAYS = {"present": _make, "absent": _remove, "reverted": _revert}


def _qemu_img(option: str, name: str, disk: str) -> None:
    work.run_command(["qemu-img", "snapshot", option, name, disk], timeout=TIMEOUT_S)


def _nodes(domain: Any, disks: list[str]) -> dict[str, str]:
    """Return QEMU's own name for each disk, by the alias that libvirt gave its device."""
    live = libvirt_connection.definition(domain, live=True)
    aliases = {}
    for each in live.iterfind("devices/disk"):
        source, alias = each.find("source"), each.find("alias")
        if source is not None and alias is not None and source.get("file") in disks:
            aliases[str(source.get("file"))] = str(alias.get("name"))
    found = {}
    blocks = _order(domain, "query-block", {})
    for disk, alias in aliases.items():
        for block in blocks:
            if alias in str(block.get("qdev", "")).split("/") and block.get("inserted"):
                found[disk] = str(block["inserted"]["node-name"])
    if missing := [disk for disk in disks if disk not in found]:
        raise work.WorkError(
            f"Cannot find the disk {missing[0]} in the domain that runs. Hard reboot the server "
            "first."
        )
    return found


def _order(domain: Any, command: str, arguments: dict[str, Any]) -> Any:
    """Return QEMU's answer. libvirt's own snapshots would save the guest's memory as well."""
    import libvirt_qemu

    order = json.dumps({"execute": command, "arguments": arguments})
    with libvirt_connection.explained(f"have QEMU do {command} for domain {domain.name()}"):
        answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, order, 0))
    if "error" in answer:
        why = answer["error"].get("desc", "no reason given")
        raise work.WorkError(f"QEMU refused {command} for domain {domain.name()}: {why}")
    return answer["return"]


def _diff(disk: str, name: str, state: str) -> dict[str, str]:
    shown = {"present": ("", f"{name}\n"), "absent": (f"{name}\n", "")}
    before, after = shown.get(state, ("as it is\n", f"as in {name}\n"))
    return work.text_diff(f"snapshots of {disk}", before, after)
