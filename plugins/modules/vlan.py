#!/usr/bin/python
"""Have a VLAN in a network's bridge; the work is module_utils/vlan.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vlan
short_description: Have a VLAN of a physical network in the bridge of a network
description:
  - Makes the device C(nvl) and the first eleven hex digits of the network's id, a sub-interface of
    O(interface), and puts it into the network's bridge.
  - M(novella.cloud.linux_bridge) removes it with the bridge.
options:
  network_id:
    description: UUID of the network that device and bridge are named after.
    type: str
    required: true
  state:
    description: Whether the sub-interface is there.
    type: str
    choices: [present, absent]
    default: present
  interface:
    description:
      - The physical interface, which may have addresses of its own and is brought up. Required with
        O(state=present).
    type: str
  segmentation_id:
    description: The VLAN's number, from 1 to 4094. Required with O(state=present).
    type: int
  mtu:
    description: The MTU of the network in bytes, at most that of O(interface).
    type: int
    default: 1500
  cloud_id:
    description: The cloud that the sub-interface is marked for, in its alias.
    type: str
    default: 00000000-0000-0000-0000-000000000000
extends_documentation_fragment:
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows the sub-interface before and after.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have VLAN 100 in the network's bridge
  novella.cloud.vlan:
    network_id: 0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
    interface: eth1
    segmentation_id: 100
"""

RETURN = r"""
# Nothing but what every module returns.
"""

from ..module_utils import vlan, work


def main() -> None:
    work.main(vlan.ARGUMENT_SPEC, vlan.run, vlan.SPEC_RULES)


if __name__ == "__main__":
    main()
