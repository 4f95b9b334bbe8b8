#!/usr/bin/python
"""Have a network's bridge on a host; the work is module_utils/linux_bridge.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: linux_bridge
short_description: Have the bridge of a network on a host, without any address
description:
  - Makes a bridge on which the host has no address, not even a link-local one, and whose frames
    pass the host's iptables and ip6tables. Other bridges of the host are left as they are.
  - Bridges that do not start with C(nvb) are refused.
options:
  name:
    description: The bridge, C(nvb) and the first eleven hex digits of the network's id.
    type: str
    required: true
  state:
    description:
      - Whether it is there. With O(state=absent) the network's own VXLAN device or VLAN goes too.
    type: str
    choices: [present, absent]
    default: present
  mtu:
    description: The network's MTU in bytes.
    type: int
    default: 1500
  interface:
    description:
      - A physical interface that becomes a member, for a flat network. Its own settings are left.
      - Refused when the host has an address on it, or when it belongs to another bridge.
    type: str
  port_ids:
    description:
      - Ports for whose sake the bridge is needed. With O(state=present) they are recorded, so that
        a delete that runs at the same time keeps the bridge; with O(state=absent) the record goes.
    type: list
    elements: str
    default: []
  only_if_unused:
    description: With O(state=absent), keep a bridge that a guest, a namespace or a recorded port
      needs.
    type: bool
    default: false
extends_documentation_fragment:
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows options and members, before and after.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have the bridge of the external network
  novella.cloud.linux_bridge:
    name: nvb0b1c2d3e4f5
    mtu: 1500
    interface: eth1

- name: Remove it once nothing uses it
  novella.cloud.linux_bridge:
    name: nvb0b1c2d3e4f5
    state: absent
    only_if_unused: true
"""

RETURN = r"""
bridge:
  description: The bridge's name, mtu and interface.
  returned: when O(state=present)
  type: dict
  sample: {name: nvb0b1c2d3e4f5, mtu: 1500, interface: eth1}
used_by:
  description: The interfaces and ports for whose sake it was kept.
  returned: when it was kept by O(only_if_unused)
  type: list
  sample: [nvt5f2c0a1b2c3]
"""

from ..module_utils import linux_bridge, work


def main() -> None:
    work.main(linux_bridge.ARGUMENT_SPEC, linux_bridge.run, linux_bridge.SPEC_RULES)


if __name__ == "__main__":
    main()
