"""Ranges of the ids of VLANs and VXLANs, as settings write them: "100-199", or a lone "7"."""

import re
from collections.abc import Iterable

from controller.errors import BadRequest

VLAN, VXLAN = "vlan", "vxlan"
# What the wire has room for; 0 and 4095 mean something else in a frame's tag.
BOUNDS = {VLAN: (1, 4094), VXLAN: (1, (1 << 24) - 1)}
_FORM = re.compile(r"([0-9]{1,8})(?:-([0-9]{1,8}))?")


def parse(kind: str, texts: Iterable[str]) -> list[range]:
    """Return the ranges in their order, without overlap. Raises BadRequest for one that is none."""
    lowest, highest = BOUNDS[kind]
    found: list[range] = []
    for first, last in sorted(_bounds(kind, text) for text in texts):
        start = max(first, found[-1].stop) if found else first
        if not lowest <= first <= last <= highest:
            raise BadRequest(
                f"{first}-{last} is no range of {kind} ids: they go from {lowest} to {highest}."
            )
        if start <= last:
            found.append(range(start, last + 1))
    return found


def _bounds(kind: str, text: str) -> tuple[int, int]:
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise BadRequest(f"{text!r} is no range of {kind} ids, such as '100-199' or '7'.")
    first = int(match[1])
    return first, int(match[2] or first)
