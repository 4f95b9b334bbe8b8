"""What differs between the definition that is wanted and the one that libvirt has.

libvirt completes a definition (addresses, controllers, defaults), so the two never are equal as
text. Everything that is wanted must be there with that value; of what is there beyond it, only
what libvirt never adds by itself counts.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

# libvirt's own additions, by parent.
ADDED_BY_LIBVIRT = {
    "domain": {"currentMemory", "vcpus", "resource", "seclabel", "description", "title", "genid"},
    "devices": {"emulator", "controller", "input", "audio", "console", "memballoon"},
}
# Below other elements libvirt adds freely; a child more counts only below these.
CLOSED = {"domain", "devices", "features", "clock"}

# What tells siblings of one tag apart: the first of these that is there.
KEYS = {
    "disk": ("target", "dev"),
    "interface": ("target", "dev"),
    "channel": ("target", "name"),
    "serial": ("target", "port"),
    "console": ("target", "port"),
    "graphics": (None, "type"),
    "controller": (None, "type"),
    "timer": (None, "name"),
    "boot": (None, "dev"),
    "entry": (None, "name"),
    "input": (None, "type"),
}
UNIT_BYTES = {
    "b": 1,
    "bytes": 1,
    "k": 1 << 10,
    "KiB": 1 << 10,
    "M": 1 << 20,
    "MiB": 1 << 20,
    "G": 1 << 30,
    "GiB": 1 << 30,
    "T": 1 << 40,
    "TiB": 1 << 40,
}
# Amounts of memory, in KiB when no unit is written.
AMOUNTS = {"memory", "currentMemory", "tb-cache"}


def live_differences(wanted: ET.Element, live: ET.Element) -> list[str]:
    """As `differences`, with what runs. Where the balloon of a guest is, is the guest's to say,
    when its memory can change.
    """
    found = differences(wanted, live)
    most, now = wanted.find("memory"), wanted.find("currentMemory")
    if most is None or now is None or _amount_bytes(most) == _amount_bytes(now):
        return found
    return [line for line in found if not line.startswith("currentMemory:")]


def differences(wanted: ET.Element, present: ET.Element) -> list[str]:
    """Return a line for each thing in which `present` is not as `wanted`; empty when all is.

    A line reads `devices/disk[vda]/driver@cache: writeback, wanted none`.
    """
    found: list[str] = []
    _compare(wanted, present, "", found)
    return found


def _compare(wanted: ET.Element, present: ET.Element, path: str, found: list[str]) -> None:
    if wanted.tag in AMOUNTS:
        if _amount_bytes(wanted) != _amount_bytes(present):
            found.append(f"{path}: {_words(present)}, wanted {_words(wanted)}")
        return
    if wanted.tag == "vcpu":
        # libvirt leaves out that all of them are plugged in.
        wanted, present = _with_current(wanted), _with_current(present)
    for name, value in wanted.attrib.items():
        if present.get(name) != value:
            found.append(f"{path}@{name}: {present.get(name)}, wanted {value}")
    text = (wanted.text or "").strip()
    if text and text != (present.text or "").strip():
        found.append(f"{path}: {(present.text or '').strip()}, wanted {text}")
    _compare_children(wanted, present, path, found)


def _compare_children(wanted: ET.Element, present: ET.Element, path: str, found: list[str]) -> None:
    there = _by_key(present)
    asked = _by_key(wanted)
    for key, child in asked.items():
        child_path = f"{path}/{key}".lstrip("/")
        if key in there:
            _compare(child, there[key], child_path, found)
        else:
            found.append(f"{child_path}: missing")
    if wanted.tag in CLOSED:
        added = ADDED_BY_LIBVIRT.get(wanted.tag, set())
        found.extend(
            f"{path}/{key}: not wanted".lstrip("/")
            for key, child in there.items()
            if key not in asked and child.tag not in added
        )


def _by_key(parent: ET.Element) -> dict[str, ET.Element]:
    """The children by tag and what tells them apart; a number follows where that is not enough."""
    children: dict[str, ET.Element] = {}
    for child in parent:
        key = base = child.tag + _identity(child)
        number = 1
        while key in children:
            number += 1
            key = f"{base}#{number}"
        children[key] = child
    return children


def _identity(element: ET.Element) -> str:
    inner, attribute = KEYS.get(element.tag, (None, None))
    if attribute is None:
        return ""
    holder = element if inner is None else element.find(inner)
    value = None if holder is None else holder.get(attribute)
    return f"[{value}]" if value else ""


def _with_current(vcpu: ET.Element) -> ET.Element:
    full = ET.Element(vcpu.tag, {"current": (vcpu.text or "").strip(), **vcpu.attrib})
    full.text = vcpu.text
    return full


def _amount_bytes(element: ET.Element) -> int:
    return int((element.text or "0").strip()) * UNIT_BYTES.get(element.get("unit", "KiB"), 1 << 10)


def _words(element: ET.Element) -> str:
    return f"{(element.text or '').strip()} {element.get('unit', 'KiB')}"
