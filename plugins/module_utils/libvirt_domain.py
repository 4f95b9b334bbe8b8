"""A server's libvirt domain: the work of the module `libvirt_domain`."""

from __future__ import annotations

import contextlib
import json
import os
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import (
    domain_cards,
    domain_power,
    domain_xml,
    fence,
    host_virtualization,
    libvirt_connection,
    names,
    network_links,
    work,
)
from .domain_differences import differences, live_differences
from .instance_paths import STATE_PATH, InstancePaths, make_directory

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

ARGUMENT_SPEC: dict[str, Any] = {
    "server_id": {"type": "str", "required": True, "aliases": ["id"]},
    "cloud_id": {"type": "str", "default": fence.NO_CLOUD},
    "state": {
        "type": "str",
        "choices": [
            "defined",
            "plugged",
            "running",
            "paused",
            "saved",
            "stopped",
            "restarted",
            "destroyed",
            "absent",
        ],
        "default": "running",
    },
    "start_from": {"type": "str", "choices": ["disk", "memory"], "default": "disk"},
    "xml": {"type": "str"},
    "xml_path": {"type": "path"},
    "virt_type": {"type": "str", "choices": ["auto", "kvm", "qemu"], "default": "auto"},
    "shutdown_timeout_s": {"type": "int", "default": 60},
    "shutdown_interval_s": {"type": "int", "default": 10},
    "start_timeout_s": {"type": "int", "default": 30},
    "unplug_timeout_s": {"type": "int", "default": 60},
    "unplug_interval_s": {"type": "int", "default": 10},
    "restart_to_fit": {"type": "bool", "default": False},
    "keep_nvram": {"type": "bool", "default": True},
    "override": {"type": "bool", "default": False},
    "state_path": {"type": "path", "default": STATE_PATH},
    "uri": {"type": "str", "default": libvirt_connection.URI},
}
SPEC_RULES: dict[str, Any] = {
    "required_if": [("state", "defined", ["xml"]), ("state", "plugged", ["xml"])]
}

DEFAULT_ARCH = "x86_64"
XML_MODE = 0o600
RECORD_NAME = "domain.info"
# States that a definition, where it is given, goes before.
DEFINING = ("defined", "plugged", "running", "restarted")


@dataclass
class Work:
    """One run: what is asked, what is there, and what has been found to change so far."""

    params: dict[str, Any]
    check_mode: bool
    connection: Any
    domain: Any | None  # virDomain
    present: ET.Element | None  # its definition, as it will be at the next start
    wanted: ET.Element | None = None  # the definition that was given, made to fit the host
    changed: bool = False

    @property
    def server_id(self) -> str:
        return str(self.params["server_id"])

    @property
    def xml_path(self) -> str | None:
        return self.params.get("xml_path") or None


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the domain of the server `server_id` into `state`; see the module libvirt_domain.

    Returns `changed`, `diff` and `domain` {id, uuid, name, state, virt_type, machine, vnc_port,
    spice_port, restart_required, differences}. Raises WorkError for a domain that does not bear
    the mark of `cloud_id`, unless `override`.
    """
    params = _with_defaults(params)
    work.check_uuid(params["server_id"], "server id")
    work.check_uuid(params["cloud_id"], "cloud id")
    _check_xml_path(params)
    with libvirt_connection.connected(params["uri"]) as connection:
        domain = libvirt_connection.lookup(connection, params["server_id"])
        present = None if domain is None else libvirt_connection.definition(domain)
        job = Work(params, check_mode, connection, domain, present)
        _check_owner(job)
        if params["state"] == "absent":
            return _make_absent(job)
        return _bring_into_state(job)


def _with_defaults(params: dict[str, Any]) -> dict[str, Any]:
    """Undo and tests call with the few parameters that matter to them."""
    defaults = {name: spec["default"] for name, spec in ARGUMENT_SPEC.items() if "default" in spec}
    given = {name: value for name, value in params.items() if value is not None}
    return {"xml": None, "xml_path": None, **defaults, **given}


def _check_xml_path(params: dict[str, Any]) -> None:
    path = params["xml_path"]
    if not path:
        return
    owner = InstancePaths(params["state_path"]).check_file(path, "copy of the definition")
    if owner != params["server_id"] or os.path.basename(path) != "libvirt.xml":
        raise work.WorkError(
            f"Refused the copy of the definition {path!r}: it must be libvirt.xml in the folder of "
            f"server {params['server_id']}."
        )


def _check_owner(job: Work) -> None:
    if job.present is None or job.params["override"]:
        return
    owner = domain_xml.marked_cloud(job.present)
    if owner == job.params["cloud_id"]:
        return
    whose = f"it belongs to cloud {owner}" if owner else "it bears no mark of Novella"
    raise work.WorkError(
        f"Refused to touch domain {job.server_id} on this host: {whose}, and this run is for cloud "
        f"{job.params['cloud_id']}. Run it for that cloud, or with override: true."
    )


def _bring_into_state(job: Work) -> dict[str, Any]:
    state = job.params["state"]
    before = domain_power.state_of(job.domain)
    diff, found = [], []
    defined_here, wrote_copy = job.domain is None, False
    try:
        if state in DEFINING and job.params["xml"]:
            wanted = job.wanted = _fitted(job)
            wrote_copy = bool(job.xml_path) and not os.path.lexists(str(job.xml_path))
            found = differences(wanted, job.present) if job.present is not None else []
            if state == "plugged":
                # Before the definition: a card that the guest keeps must not be gone from it.
                found = [*_plug_live(job, wanted), *found]
            diff.append(_write_copy(job, wanted))
            _define(job, wanted, found)
        elif state in DEFINING and job.domain is None:
            raise work.WorkError(
                f"Cannot bring server {job.server_id} to {state}: it has no domain on this host "
                "and no xml was given. Give xml (hard reboot does)."
            )
        _forbid_autostart(job)
        if state == "running" and _runs_with_another(job):
            state = "restarted"
        after = domain_power.bring_to(state, job.domain, job.params, job.check_mode)
        if state in ("plugged", "running", "restarted") and after.state == "running":
            _quieten_taps(job)
    except BaseException:
        # What this very run defined goes again; undo_args only serve steps that succeeded.
        if defined_here and job.domain is not None and not job.check_mode:
            _take_back(job, wrote_copy)
        raise
    job.changed = job.changed or after.changed
    # Else a restart of what runs would be no difference at all.
    more = {"restarted": ", started again", "saved": ", memory saved"}.get(state, "")
    shown = f"{after.state}{more}"
    diff.append(_state_diff(job, before, shown, found))
    result = {"changed": job.changed, "diff": diff, "domain": _facts(job, after.state, found)}
    undo_state = "absent" if defined_here and job.domain is not None else None
    if not undo_state and before != "running" and after.state == "running":
        undo_state = "destroyed"
    if undo_state and not job.check_mode:
        kept_names = ("server_id", "cloud_id", "xml_path", "override", "state_path", "uri")
        kept = {name: job.params[name] for name in kept_names if job.params[name] is not None}
        result["undo_args"] = {**kept, "state": undo_state}
    return result


def _fitted(job: Work) -> ET.Element:
    """The definition that was given, made to fit this host and what the server was before."""
    root = domain_xml.parse(job.params["xml"], "the xml of the domain")
    uuid = (root.findtext("uuid") or "").strip()
    if uuid != job.server_id:
        raise work.WorkError(
            f"Refused the xml of server {job.server_id}: its uuid is {uuid!r}. Give the server's."
        )
    if domain_xml.marked_cloud(root) != job.params["cloud_id"]:
        raise work.WorkError(
            f"Refused the xml of server {job.server_id}: it lacks the mark of cloud "
            f"{job.params['cloud_id']} in its metadata (see templates/libvirt_domain.xml.j2)."
        )
    if job.params["virt_type"] != domain_xml.AUTO:
        root.set("type", job.params["virt_type"])
    copy = _copied_definition(job)
    domain_xml.mark(root, _owner(job, copy))
    domain_xml.fit(
        root, _host_fit(job, root, copy), job.present if job.present is not None else copy
    )
    return root


def _owner(job: Work, copy: ET.Element | None) -> str:
    """The cloud whose mark the definition is to bear.

    A run by hand over a controller's server must not take it from its owner, whose next operation
    would find a foreign mark and be refused. Without a domain the fence still knows the owner.
    """
    given = str(job.params["cloud_id"])
    if not job.params["override"]:
        return given
    record = fence.read(job.params["state_path"], job.server_id)
    known = [
        None if job.present is None else domain_xml.marked_cloud(job.present),
        None if record is None else record.owner,
        None if copy is None else domain_xml.marked_cloud(copy),
    ]
    # The mark of no cloud is what runs by hand leave: nobody loses the server with it.
    return next((cloud for cloud in known if cloud and cloud != fence.NO_CLOUD), given)


def _copied_definition(job: Work) -> ET.Element | None:
    text = work.read_file(job.xml_path) if job.xml_path else None
    if text is None:
        return None
    try:
        return domain_xml.parse(text, str(job.xml_path))
    except work.WorkError:
        # A damaged copy is replaced; hard reboot must get a server going again.
        return None


def _host_fit(job: Work, root: ET.Element, copy: ET.Element | None) -> domain_xml.HostFit:
    virt_type = root.get("type")
    if virt_type in (None, domain_xml.AUTO):
        virt_type = host_virtualization.virt_type()
    kept = (
        domain_xml.machine_of(job.present)
        or domain_xml.machine_of(copy)
        or _recorded_machine(job)
        # What the server never had may be chosen by its image.
        or domain_xml.machine_of(root)
    )
    os_type = root.find("os/type")
    arch = DEFAULT_ARCH if os_type is None else os_type.get("arch", DEFAULT_ARCH)
    machine, spice = _capabilities(job.connection, arch, kept, str(virt_type))
    folder = os.path.dirname(job.xml_path or job.params["state_path"] + "/x")
    direct_io = host_virtualization.supports_direct_io(folder, job.check_mode)
    return domain_xml.HostFit(str(virt_type), machine, direct_io, spice)


def _capabilities(
    connection: Any, arch: str, machine: str | None, virt_type: str
) -> tuple[str, bool]:
    """Return the machine type's full name and whether QEMU was built with SPICE."""
    import libvirt

    try:
        text = connection.getDomainCapabilities(None, arch, machine, virt_type)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            # libvirt's test driver: it takes any name.
            return machine or "pc", True
        raise work.WorkError(
            f"Cannot run a domain of type {virt_type} with machine {machine or '(default)'} on "
            f"this host: {error.get_error_message()}. Choose another compute_virt_type for the "
            "host, or another hw_machine_type for the image.",
            libvirt_code=error.get_error_code(),
        ) from error
    import xml.etree.ElementTree as ET

    root = ET.fromstring(text)  # noqa: S314
    graphics = root.findall("devices/graphics/enum[@name='type']/value")
    return root.findtext("machine") or machine or "pc", "spice" in [one.text for one in graphics]


def _record_path(job: Work) -> str | None:
    return os.path.join(os.path.dirname(job.xml_path), RECORD_NAME) if job.xml_path else None


def _recorded_machine(job: Work) -> str | None:
    """The machine type noted beside the disks, for when definition and copy are both lost."""
    path = _record_path(job)
    try:
        recorded = json.loads((work.read_file(path) if path else None) or "{}")
    except ValueError:
        return None
    machine = recorded.get("machine") if isinstance(recorded, dict) else None
    return machine if isinstance(machine, str) else None


def _plug_live(job: Work, wanted: ET.Element) -> list[str]:
    """Give a domain that runs the cards of its definition; return a line for each that differs."""
    if domain_power.state_of(job.domain) not in domain_cards.LIVE_STATES:
        return []
    live = libvirt_connection.definition(job.domain, live=True)
    todo = domain_cards.plan(wanted, live, domain_cards.bridge_of)
    if todo:
        job.changed = True
        if not job.check_mode:
            times = job.params["unplug_timeout_s"], job.params["unplug_interval_s"]
            domain_cards.carry_out(job.domain, todo, *times)
    return todo.lines()


def _write_copy(job: Work, wanted: ET.Element) -> dict[str, str]:
    """Write libvirt.xml and the record; without a path, only tell what differs as text."""
    after = domain_xml.render(wanted)
    if job.xml_path is None:
        before = "" if job.present is None else domain_xml.render(job.present)
        return work.text_diff(f"definition of {job.server_id}", before, after)
    before = work.read_file(job.xml_path) or ""
    if not job.check_mode:
        make_directory(os.path.dirname(job.xml_path))
    job.changed |= work.write_file(job.xml_path, after, XML_MODE, check_mode=job.check_mode)
    record = json.dumps({"machine": domain_xml.machine_of(wanted)}) + "\n"
    job.changed |= work.write_file(str(_record_path(job)), record, 0o644, check_mode=job.check_mode)
    return work.text_diff(job.xml_path, before, after)


def _define(job: Work, wanted: ET.Element, found: list[str]) -> None:
    if job.domain is not None and not found and job.domain.isPersistent():
        return
    job.changed = True
    if job.check_mode:
        return
    definition = deepcopy(wanted)
    if job.domain is not None:
        runs = domain_power.state_of(job.domain) in domain_cards.LIVE_STATES
        domain_xml.keep_addresses(definition, libvirt_connection.definition(job.domain, live=runs))
    with libvirt_connection.explained(f"define domain {job.server_id}"):
        job.domain = job.connection.defineXML(domain_xml.render(definition))
    job.present = libvirt_connection.definition(job.domain)


def _runs_with_another(job: Work) -> bool:
    """Whether the domain is to be started again for its definition to come into effect."""
    if not job.params["restart_to_fit"] or job.wanted is None or job.domain is None:
        return False
    if domain_power.state_of(job.domain) in domain_power.OFF_STATES:
        return False
    return bool(live_differences(job.wanted, libvirt_connection.definition(job.domain, live=True)))


def _forbid_autostart(job: Work) -> None:
    """After a host boots, a play decides what runs; libvirt must not be faster."""
    if job.domain is None or not job.domain.isPersistent():
        return
    with libvirt_connection.explained(f"turn off the autostart of domain {job.server_id}"):
        if job.domain.autostart():
            job.changed = True
            if not job.check_mode:
                job.domain.setAutostart(0)


def _quieten_taps(job: Work) -> None:
    """Keep the host from speaking IPv6 on the domain's taps, which come up with it switched on."""
    if job.domain is None or job.check_mode:
        return
    live = libvirt_connection.definition(job.domain, live=True)
    for target in live.iterfind("devices/interface/target"):
        tap = target.get("dev", "")
        if tap.startswith(names.TAP_PREFIX) and not network_links.is_ipv6_off(tap):
            network_links.switch_off_ipv6(network_links.check_interface(tap, "Tap"))
            job.changed = True


def _take_back(job: Work, wrote_copy: bool) -> None:
    with contextlib.suppress(work.WorkError):
        domain_power.remove(job.connection, job.server_id, keep_nvram=True)
    if wrote_copy and job.xml_path:
        work.remove_file(job.xml_path)
        work.remove_file(str(_record_path(job)))


def _make_absent(job: Work) -> dict[str, Any]:
    before = domain_power.state_of(job.domain)
    diff = []
    job.changed = job.domain is not None
    if job.domain is not None and not job.check_mode:
        domain_power.remove(job.connection, job.server_id, bool(job.params["keep_nvram"]))
    for path in (job.xml_path, _record_path(job)):
        if path and os.path.lexists(path):
            diff.append(work.text_diff(path, work.read_file(path) or "", ""))
            job.changed |= work.remove_file(path, job.check_mode)
    diff.append(_state_diff(job, before, "absent", []))
    return {"changed": job.changed, "diff": diff, "domain": _facts(job, "absent", [])}


def _state_diff(job: Work, before: str, after: str, found: list[str]) -> dict[str, str]:
    was = "".join(f"differs: {line}\n" for line in found)
    return work.text_diff(
        f"domain {domain_xml.domain_name(job.server_id)}",
        f"state: {before}\n{was}",
        f"state: {after}\n",
    )


def _facts(job: Work, state: str, found: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "id": job.server_id,
        "uuid": job.server_id,
        "name": domain_xml.domain_name(job.server_id),
        "state": state,
        "differences": found,
    }
    if job.present is not None and state != "absent":
        facts["virt_type"] = job.present.get("type")
        facts["machine"] = domain_xml.machine_of(job.present)
    if state == "running" and domain_power.state_of(job.domain) == "running":
        live = libvirt_connection.definition(job.domain, live=True)
        facts |= domain_xml.console_ports(live)
        # A domain that ran before keeps what it was started with.
        waiting = [] if job.wanted is None else live_differences(job.wanted, live)
        facts["restart_required"] = bool(waiting)
        facts["restart_differences"] = waiting
    return facts
