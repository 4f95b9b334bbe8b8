"""A domain's definition kept aside while another one is in its place: the work of
`saved_definition`."""

from __future__ import annotations

import os
from typing import Any

from . import domain_power, domain_xml, fence, libvirt_connection, work
from .instance_paths import STATE_PATH, InstancePaths

ARGUMENT_SPEC: dict[str, Any] = {
    "server_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["saved", "restored"], "default": "saved"},
    "cloud_id": {"type": "str", "default": fence.NO_CLOUD},
    "override": {"type": "bool", "default": False},
    "state_path": {"type": "path", "default": STATE_PATH},
    "uri": {"type": "str", "default": libvirt_connection.URI},
}
# Nova's name for it.
FILE_NAME = "unrescue.xml"
FILE_MODE = 0o600


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Keep the server's definition aside, or put it back; see the module saved_definition.

    A definition that is kept already is left alone, and without one there is nothing to restore: so
    both may be run again at any point. Returns `changed`, `diff`, `path`. Raises WorkError for a
    domain that does not bear the mark of `cloud_id`, unless `override`.
    """
    server_id = work.check_uuid(params["server_id"], "server id")
    folder = InstancePaths(params.get("state_path") or STATE_PATH).instance(server_id)
    path = os.path.join(folder, FILE_NAME)
    kept = work.read_file(path)
    if (kept is not None) == (params["state"] == "saved"):
        return {"changed": False, "diff": [], "path": path}
    with libvirt_connection.connected(params.get("uri")) as connection:
        domain = libvirt_connection.lookup(connection, server_id)
        if domain is not None:
            _check_owner(params, domain)
        if params["state"] == "restored":
            return _restore(connection, domain, path, str(kept), check_mode)
        return _save(domain, path, check_mode)


def _check_owner(params: dict[str, Any], domain: Any) -> None:
    owner = domain_xml.marked_cloud(libvirt_connection.definition(domain))
    if owner != params["cloud_id"] and not params["override"]:
        raise work.WorkError(
            f"Refused to touch domain {params['server_id']} on this host: it bears the mark of "
            f"{owner or 'no cloud'}, and this run is for cloud {params['cloud_id']}. Run it for "
            "that cloud, or with override: true."
        )


def _save(domain: Any | None, path: str, check_mode: bool) -> dict[str, Any]:
    # A server that lost its domain is given one by the template when it is restored.
    if domain is None:
        return {"changed": False, "diff": [], "path": path}
    text = domain_xml.render(libvirt_connection.definition(domain))
    changed = work.write_file(path, text, FILE_MODE, check_mode=check_mode)
    return {"changed": changed, "diff": [work.text_diff(path, "", text)], "path": path}


def _restore(
    connection: Any, domain: Any | None, path: str, kept: str, check_mode: bool
) -> dict[str, Any]:
    wanted = domain_xml.render(domain_xml.parse(kept, path))
    before = "" if domain is None else domain_xml.render(libvirt_connection.definition(domain))
    diff = [work.text_diff("definition of the domain", before, wanted)]
    if not check_mode:
        if domain is not None:
            domain_power.destroy(domain)
        with libvirt_connection.explained("define the domain as it was"):
            connection.defineXML(wanted)
        # The last: what is begun again has it still.
        work.remove_file(path)
    return {"changed": True, "diff": diff, "path": path}
