#!/usr/bin/python
"""Have the packet filter of ports on a host; the work is module_utils/port_filter.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: port_filter
short_description: Have the packet filter of ports on a host
description:
  - Has iptables, ip6tables, ebtables and ipset hold the rules of the ports given, and leaves those
    of other ports and the operator's own rules as they are.
  - A guest may send from its own MAC and addresses alone; traffic to it is closed except for what
    its security groups allow and for replies. IPv6 is closed. A tap that starts with C(nvt) and
    that no port owns passes nothing.
  - Rules may be made before the tap is there, and should be.
  - A connection is judged packet by packet in its own direction, and only its replies pass as such,
    so it ends when the rule that let it in goes. A group whose C(stateful) is false lets no replies
    pass by itself.
options:
  ports:
    description:
      - The ports, each with C(id), C(network_id), C(mac_address), C(fixed_ips) (each with
        C(ip_address)), C(port_security_enabled), C(allowed_address_pairs) and C(security_groups).
      - With O(state=absent) C(id) is enough.
    type: list
    elements: dict
    default: []
  security_groups:
    description: Each group that a port uses, with C(id) and C(rules) as OpenStack's Network API has
      them.
    type: list
    elements: dict
    default: []
  remote_group_members:
    description: The addresses of each group that a rule names as remote, by the group's id.
    type: dict
    default: {}
  state:
    description: Whether the ports' rules are there.
    type: str
    choices: [present, absent]
    default: present
  base:
    description: Have the base chains even without a port, as at enrolment.
    type: bool
    default: false
extends_documentation_fragment:
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows the chains and sets that change, and no others.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Let anybody reach the guest by SSH
  novella.cloud.port_filter:
    ports:
      - id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
        network_id: 0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
        mac_address: fa:16:3e:00:00:01
        fixed_ips: [{ip_address: 10.91.1.100}]
        security_groups: [77b0a3a2-4f7e-4d5e-9b5c-0f4d4b5d6a12]
    security_groups:
      - id: 77b0a3a2-4f7e-4d5e-9b5c-0f4d4b5d6a12
        rules:
          - {direction: egress, ethertype: IPv4}
          - {direction: ingress, protocol: tcp, port_range_min: 22, port_range_max: 22}

- name: Have a host drop what it doesn't know, at enrolment
  novella.cloud.port_filter:
    base: true
"""

RETURN = r"""
ports:
  description: The ids of the ports.
  returned: success
  type: list
  sample: [5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10]
"""

from ..module_utils import port_filter, work


def main() -> None:
    work.main(port_filter.ARGUMENT_SPEC, port_filter.run, port_filter.SPEC_RULES)


if __name__ == "__main__":
    main()
