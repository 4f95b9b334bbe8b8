#!/usr/bin/python
"""Have a host's way out to an external network; the work is module_utils/external_namespace.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: external_namespace
short_description: Have a host's own way out to an external network, for the routers there
description:
  - Makes the namespace C(nve-<network id>) and a cable from it into the network's bridge with the
    address and MAC of the host's own port. Routers connect to it, see
    M(novella.cloud.router_namespace).
  - What comes from routers is translated to the host's address. What tenants send to management
    networks is dropped here, but for answers.
options:
  network_id:
    description: The external network's UUID. Its bridge must be there.
    type: str
    required: true
  state:
    description: Whether this host has the way out.
    type: str
    choices: [present, absent]
    default: present
  mtu:
    description: The network's MTU in bytes.
    type: int
    default: 1500
  host_port:
    description:
      - The host's own port in the network, with C(mac_address) and C(ip_addresses) (each with
        C(ip_address) and C(cidr)). Needed with O(state=present).
    type: dict
  gateway_ips:
    description: The next hops to the rest of the world, one for each version of IP.
    type: list
    elements: str
    default: []
  management_networks:
    description:
      - What tenants may not reach from here. Empty means the networks that the host has an address
        in, and of one that overlaps the external network the host's own address.
    type: list
    elements: str
    default: []
  only_if_unused:
    description: With O(state=absent), keep it while a router is connected.
    type: bool
    default: false
extends_documentation_fragment:
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows cable, addresses, routes, settings and rules, before and after.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have the host's way out to the external network
  novella.cloud.external_namespace:
    network_id: 0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
    gateway_ips: [203.0.113.1]
    host_port:
      mac_address: fa:16:3e:00:00:99
      ip_addresses: [{ip_address: 203.0.113.20, cidr: 203.0.113.0/24}]

- name: Remove it once no router needs it
  novella.cloud.external_namespace:
    network_id: 0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
    state: absent
    only_if_unused: true
"""

RETURN = r"""
namespace:
  description: The namespace's name, as C(ip netns) lists it.
  returned: success
  type: str
  sample: nve-0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
used_by:
  description: The routers' cables for whose sake it was kept.
  returned: when it was kept by O(only_if_unused)
  type: list
  sample: [rt5f2c0a1b2c3]
"""

from ..module_utils import external_namespace, work


def main() -> None:
    work.main(
        external_namespace.ARGUMENT_SPEC, external_namespace.run, external_namespace.SPEC_RULES
    )


if __name__ == "__main__":
    main()
