"""Domain definitions as XML: whose they are, fitting one to a host, and what differs in two.

Parsed with the standard library; what is parsed comes from our template or from libvirt itself.
"""

from __future__ import annotations

import string
import xml.etree.ElementTree as ET
from copy import deepcopy
from dataclasses import dataclass

from . import work

NAMESPACE = "urn:novella:domain:1"
MARK = f"{{{NAMESPACE}}}server"

# What the template writes where the answer is the host's to give.
AUTO = "auto"
TCG_TB_CACHE_MIB = "64"

ET.register_namespace("novella", NAMESPACE)


@dataclass(frozen=True)
class HostFit:
    """What a host answers to the `auto` of a definition."""

    virt_type: str  # kvm or qemu
    machine: str  # pc-i440fx-7.2: a version, never an alias that moves
    direct_io: bool
    spice: bool


def domain_name(server_id: str) -> str:
    return f"novella-{work.check_uuid(server_id, 'server id')}"


def parse(text: str, what: str) -> ET.Element:
    """Return the root of the domain definition `text`; WorkError, naming `what`, if it is none."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - see the top
    except ET.ParseError as error:
        raise work.WorkError(f"Cannot read {what}: it is not well-formed XML ({error}).") from error
    if root.tag != "domain":
        raise work.WorkError(f"Cannot read {what}: its root is <{root.tag}>, not <domain>.")
    return root


def render(root: ET.Element) -> str:
    """Return `root` as text, indented, so that copies compare and diffs read well."""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def marked_cloud(root: ET.Element) -> str | None:
    """Return the id of the cloud whose mark the definition bears, or None without a mark."""
    mark = root.find(f"metadata/{MARK}")
    return None if mark is None else mark.get("cloud")


def mark_texts(root: ET.Element) -> dict[str, str]:
    """Return what the mark says of the server: its name, flavor and project; empty without one."""
    element = root.find(f"metadata/{MARK}")
    children = [] if element is None else list(element)
    return {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in children}


def mark(root: ET.Element, cloud_id: str) -> None:
    """Have the mark that the definition bears name the cloud `cloud_id`."""
    element = root.find(f"metadata/{MARK}")
    if element is not None:
        element.set("cloud", cloud_id)


def machine_of(root: ET.Element | None) -> str | None:
    """Return the machine type of a definition, or None without one."""
    element = None if root is None else root.find("os/type")
    machine = None if element is None else element.get("machine")
    return None if machine == AUTO else machine


def fit(root: ET.Element, host: HostFit, present: ET.Element | None) -> None:
    """Answer every `auto` in the definition `root` for `host`, in place.

    `present` is the server's definition so far: a MAC address that `root` leaves out is kept
    from there, by tap.
    """
    if root.get("type") in (None, AUTO):
        root.set("type", host.virt_type)
    os_type = root.find("os/type")
    if os_type is not None:
        os_type.set("machine", host.machine)
    _fit_buses(root, host.machine)
    _fit_cpu(root)
    _fit_tcg(root)
    cache = "none" if host.direct_io else "writeback"
    for driver in root.iterfind("devices/disk/driver[@cache='auto']"):
        driver.set("cache", cache)
    _fit_spice(root, host.spice)
    if present is not None:
        _keep_mac_addresses(root, present)


def _fit_buses(root: ET.Element, machine: str) -> None:
    """Move IDE disks to SATA on a Q35 machine, which has no IDE; the template can't know it."""
    if "q35" not in machine:
        return
    targets = root.findall("devices/disk/target")
    taken = {target.get("dev") for target in targets}
    for target in targets:
        if target.get("bus") == "ide":
            free = next(f"sd{one}" for one in string.ascii_lowercase if f"sd{one}" not in taken)
            taken.add(free)
            target.set("bus", "sata")
            target.set("dev", free)


def _fit_cpu(root: ET.Element) -> None:
    cpu = root.find("cpu")
    if cpu is None:
        return
    if root.get("type") == "kvm":
        if cpu.get("mode") == AUTO:
            cpu.set("mode", "host-model")
        return
    if cpu.get("mode") not in (AUTO, "host-model", "host-passthrough"):
        return
    # Emulated, the host's own CPU means nothing: a model that every QEMU has, so that guests can
    # move between hosts, and without the vector extensions that emulation makes slow.
    cpu.set("mode", "custom")
    cpu.set("match", "exact")
    ET.SubElement(cpu, "model", {"fallback": "forbid"}).text = "qemu64"


def _fit_tcg(root: ET.Element) -> None:
    features = root.find("features")
    if features is None:
        features = ET.SubElement(root, "features")
    tcg = features.find("tcg")
    if root.get("type") == "kvm":
        if tcg is not None:
            features.remove(tcg)
        return
    if tcg is None:
        # Unbounded, the translation cache grows by a gigabyte beside a guest of half of one.
        tcg = ET.SubElement(features, "tcg")
        ET.SubElement(tcg, "tb-cache", {"unit": "MiB"}).text = TCG_TB_CACHE_MIB


def _fit_spice(root: ET.Element, supported: bool) -> None:
    devices = root.find("devices")
    if supported or devices is None:
        return
    for graphics in devices.findall("graphics[@type='spice']"):
        devices.remove(graphics)


def _keep_mac_addresses(root: ET.Element, present: ET.Element) -> None:
    kept = {
        target.get("dev"): mac.get("address")
        for interface in present.iterfind("devices/interface")
        if (target := interface.find("target")) is not None
        and (mac := interface.find("mac")) is not None
    }
    for interface in root.iterfind("devices/interface"):
        target = interface.find("target")
        if interface.find("mac") is None and target is not None and target.get("dev") in kept:
            address = kept[target.get("dev")]
            ET.SubElement(interface, "mac", {"address": address or ""})


def keep_addresses(root: ET.Element, present: ET.Element) -> None:
    """Give disks and cards of the definition `root` the addresses that they have in `present`.

    libvirt deals addresses out anew with each definition: a guest that names its cards by their
    slots would find them renamed at its next boot, because one was plugged in beside them.
    """
    if machine_of(root) != machine_of(present):
        return
    there = {_place(device): device.find("address") for device in _addressed(present)}
    for device in _addressed(root):
        address = there.get(_place(device))
        if address is not None and device.find("address") is None:
            device.append(deepcopy(address))


def _addressed(root: ET.Element) -> list[ET.Element]:
    return [*root.iterfind("devices/disk"), *root.iterfind("devices/interface")]


def _place(device: ET.Element) -> tuple[str | None, ...]:
    """What tells a device from others, and which kind of address it takes."""
    target, model = device.find("target"), device.find("model")
    return (
        device.tag,
        None if target is None else target.get("dev"),
        None if target is None else target.get("bus"),
        None if model is None else model.get("type"),
    )


def console_ports(live: ET.Element) -> dict[str, int]:
    """Return {"vnc_port", "spice_port"} of a running domain, as far as it has them."""
    ports = {}
    for graphics in live.iterfind("devices/graphics"):
        port = graphics.get("port", "-1")
        if port.isdecimal():
            ports[f"{graphics.get('type')}_port"] = int(port)
    return ports
