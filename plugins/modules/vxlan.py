#!/usr/bin/python
"""Have a network's VXLAN device on a host; the work is module_utils/vxlan.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vxlan
short_description: Have the VXLAN device of a network in its bridge, with its forwarding table
description:
  - Makes the device C(nvx) and the first eleven hex digits of the network's id, which learns
    nothing, on UDP port 4789, and puts it into the network's bridge.
  - Its forwarding table has an entry for each of O(peers), which broadcasts go to, and one for the
    MAC address of each of O(members) on another host.
  - VXLAN packets to O(local) are taken from the hosts in these tables alone; the rules stand in a
    chain of our own.
  - M(novella.cloud.linux_bridge) removes it with the bridge.
options:
  network_id:
    description: UUID of the network, from which device and bridge have their names.
    type: str
    required: true
  state:
    description: Whether the device is there.
    type: str
    choices: [present, absent]
    default: present
  segmentation_id:
    description: The VXLAN id, from 1 to 16777215. Required with O(state=present).
    type: int
  local:
    description:
      - The address of this host that the others send to. An interface of the host has it, and an
        MTU that leaves room for what VXLAN adds to O(mtu), 50 bytes (70 over IPv6).
      - Required with O(state=present).
    type: str
  mtu:
    description: The MTU of the network in bytes.
    type: int
    default: 1450
  members:
    description:
      - The network's ports on all hosts, each with C(mac_address) and C(tunnel_ip), the address of
        its host. Those of this host (O(local)) need no entry.
    type: list
    elements: dict
    default: []
  peers:
    description: The tunnel addresses of the other hosts that have members.
    type: list
    elements: str
    default: []
  exact:
    description:
      - Whether the table has these entries and no others. With V(false) only what is missing is
        added, for a run that may have been told less than one before it.
    type: bool
    default: true
  cloud_id:
    description: The cloud that the device is marked for, in its alias.
    type: str
    default: 00000000-0000-0000-0000-000000000000
extends_documentation_fragment:
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows the device and each entry of its table, before and after.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have a network reach its other hosts
  novella.cloud.vxlan:
    network_id: 0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
    segmentation_id: 1001
    local: 10.90.0.1
    peers: [10.90.0.2]
    members:
      - {mac_address: "fa:16:3e:00:00:01", tunnel_ip: 10.90.0.1}
      - {mac_address: "fa:16:3e:00:00:02", tunnel_ip: 10.90.0.2}
"""

RETURN = r"""
device:
  description: The device's name.
  returned: when O(state=present)
  type: str
  sample: nvx0b1c2d3e4f7
"""

from ..module_utils import vxlan, work


def main() -> None:
    work.main(vxlan.ARGUMENT_SPEC, vxlan.run, vxlan.SPEC_RULES)


if __name__ == "__main__":
    main()
