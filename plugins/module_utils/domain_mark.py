"""Whose a server's domain is, changed beneath a guest that runs on: the module `domain_mark`.

The mark is an element of the domain's metadata, which libvirt keeps and QEMU never sees. It is
changed in the definition, in what runs, in the copy beside the disks, and in the fence's record.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from . import domain_xml, fence, libvirt_connection, work
from .instance_paths import STATE_PATH, InstancePaths
from .saved_definition import FILE_NAME

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

ARGUMENT_SPEC: dict[str, Any] = {
    "server_id": {"type": "str", "required": True, "aliases": ["id"]},
    "cloud_id": {"type": "str", "required": True},
    "from_clouds": {"type": "list", "elements": "str", "default": []},
    "name": {"type": "str", "default": ""},
    "flavor": {"type": "str", "default": ""},
    "project_id": {"type": "str", "default": ""},
    "if_missing": {"type": "str", "choices": ["fail", "leave"], "default": "fail"},
    "state_path": {"type": "path", "default": STATE_PATH},
    "uri": {"type": "str", "default": libvirt_connection.URI},
}

XML_MODE = 0o600
# As in templates/libvirt_domain.xml.j2: XML has no way to write most control characters.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have the domain of `server_id` bear the mark of `cloud_id`; see the module domain_mark.

    Raises WorkError when there is no such domain, unless that is to be left; and when it bears the
    mark of a cloud that is neither `cloud_id` nor one of `from_clouds`.
    """
    work.check_uuid(params["cloud_id"], "cloud id")
    changed, diffs = False, []
    with libvirt_connection.connected(params["uri"]) as connection:
        domain = libvirt_connection.lookup(connection, params["server_id"])
        if domain is None and params["if_missing"] == "leave":
            return {"changed": False, "diff": []}
        if domain is None:
            raise work.WorkError(
                f"Cannot mark server {params['server_id']}: it has no domain on this host. Make "
                "it there first, or name the host that has it."
            )
        for live, what in _forms(domain):
            before, after = _marks(params, libvirt_connection.definition(domain, live=live), what)
            if before == after:
                continue
            changed = True
            diffs.append(work.text_diff(f"mark in {what}", before, after))
            if not check_mode:
                _set(domain, params, live)
    # The second one is what a rescued server's domain is going to be again.
    for done, diff in (
        *(_mark_copy(params, name, check_mode) for name in ("libvirt.xml", FILE_NAME)),
        _mark_fence(params, check_mode),
    ):
        changed = changed or done
        diffs += diff
    return {"changed": changed, "diff": diffs}


def _forms(domain: Any) -> list[tuple[bool, str]]:
    """Return the forms that the domain has: whether it is the one that runs, and its name."""
    forms = [(False, "the definition")] if domain.isPersistent() else []
    return [*forms, (True, "what runs")] if domain.isActive() else forms


def _marks(params: dict[str, Any], root: ET.Element, what: str) -> tuple[str, str]:
    """Return the mark in `root` as text before and after it is changed, which is done in place."""
    import xml.etree.ElementTree as ET

    element = root.find(f"metadata/{domain_xml.MARK}")
    owner = None if element is None else element.get("cloud")
    if element is None or owner not in (params["cloud_id"], *params["from_clouds"]):
        whose = f"it belongs to cloud {owner}" if owner else "it bears no mark of Novella"
        raise work.WorkError(
            f"Refused to mark server {params['server_id']} in {what}: {whose}, and this run is "
            f"for cloud {params['cloud_id']}. Name the cloud that gives it away in from_clouds."
        )
    before = _as_text(element)
    element.set("cloud", params["cloud_id"])
    for name, value in _texts(params).items():
        child = element.find(f"{{{domain_xml.NAMESPACE}}}{name}")
        if child is None:
            child = ET.SubElement(element, f"{{{domain_xml.NAMESPACE}}}{name}")
        child.text = value or None
    return before, _as_text(element)


def _texts(params: dict[str, Any]) -> dict[str, str]:
    texts = {"name": "name", "flavor": "flavor", "project": "project_id"}
    return {name: _UNWRITABLE.sub("?", params[given] or "") for name, given in texts.items()}


def _as_text(element: ET.Element) -> str:
    """Return a line for each thing in a mark, whatever prefix and order it is written with."""
    lines = [f"{name}: {value}" for name, value in sorted(element.attrib.items())]
    lines += [f"{child.tag.rpartition('}')[2]}: {(child.text or '').strip()}" for child in element]
    return "".join(f"{line}\n" for line in lines)


def _set(domain: Any, params: dict[str, Any], live: bool) -> None:
    import xml.etree.ElementTree as ET

    import libvirt

    # libvirt puts the namespace in by itself.
    element = ET.Element("server", {"cloud": params["cloud_id"], "id": params["server_id"]})
    for name, value in _texts(params).items():
        ET.SubElement(element, name).text = value or None
    where = libvirt.VIR_DOMAIN_AFFECT_LIVE if live else libvirt.VIR_DOMAIN_AFFECT_CONFIG
    with libvirt_connection.explained(f"mark the domain of server {params['server_id']}"):
        domain.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, ET.tostring(element, encoding="unicode"),
            "novella", domain_xml.NAMESPACE, where,
        )  # fmt: skip


def _mark_copy(
    params: dict[str, Any], name: str, check_mode: bool
) -> tuple[bool, list[dict[str, str]]]:
    """Change a definition that is kept beside the disks, if there is one by that name."""
    folder = InstancePaths(params["state_path"]).instance(params["server_id"])
    path = os.path.join(folder, name)
    text = work.read_file(path)
    if text is None:
        return False, []
    root = domain_xml.parse(text, path)
    was, is_now = _marks(params, root, path)
    if was == is_now:
        return False, []
    after = domain_xml.render(root)
    changed = work.write_file(path, after, XML_MODE, check_mode=check_mode)
    return changed, [work.text_diff(path, text, after)] if changed else []


def _mark_fence(params: dict[str, Any], check_mode: bool) -> tuple[bool, list[dict[str, str]]]:
    """Change the owner in the fence's record, which a run that gives a server away has claimed."""
    state_path, server_id = params["state_path"], params["server_id"]
    record = fence.read(state_path, server_id)
    if record is None or record.owner == params["cloud_id"]:
        return False, []
    if not check_mode:
        fence.hand_over(state_path, server_id, params["cloud_id"])
    what = fence.record_path(state_path, server_id)
    diff = work.text_diff(what, f"owner: {record.owner}\n", f"owner: {params['cloud_id']}\n")
    return True, [diff]
