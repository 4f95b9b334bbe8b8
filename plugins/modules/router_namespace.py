#!/usr/bin/python
"""Have a router on a host; the work is module_utils/router_namespace.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: router_namespace
short_description: Have a router's namespace on a host, with a leg into each of its networks
description:
  - Makes the namespace C(nvr-<router id>), a cable from it into the bridge of each network with the
    gateway's addresses and MAC, a permanent neighbour for each member of these networks, and the
    routes. Every host that has the router has the same, and routes for its own guests.
  - ebtables keeps the gateways' ARP and neighbour discovery on this host.
  - Guests of an IPv6 subnet whose C(ipv6_ra_mode) is set, and whose gateway the router is, learn of
    it by router advertisements. A supervised dnsmasq, which does not run as root, sends them for
    each such leg.
  - With O(gateway), a cable to this host's external namespace, translation of addresses, and the
    floating IPs of the servers that are here, which are announced when they come.
options:
  router_id:
    description: The router's UUID.
    type: str
    required: true
  state:
    description: Whether this host has the router.
    type: str
    choices: [present, absent]
    default: present
  interfaces:
    description:
      - The router's interfaces, each with C(port_id), C(mac_address), C(ip_addresses) (each with
        C(ip_address) and C(cidr)) and C(network) (C(id), C(mtu), and C(members), each with
        C(mac_address) and C(ip_addresses), and C(subnets), as M(novella.cloud.network_namespace)
        has them). The networks' bridges must be there.
    type: list
    elements: dict
    default: []
  routes:
    description: Extra routes, each with C(destination) and C(nexthop).
    type: list
    elements: dict
    default: []
  gateway:
    description:
      - The way out, with C(network) (C(id) and C(mtu)), C(ip_addresses) (the router's own there),
        C(enable_snat) and C(host_port) (this host's address there; without one there is no way).
        With C(seen_outside), of the IPv6 networks behind it those alone are reached from there.
    type: dict
  floating_ips:
    description:
      - The router's floating IPs, each with C(floating_ip_address), C(fixed_ip_address) and
        C(tunnel_ip), the address of the host that has the server. One that is C(arriving) by a live
        migration is translated here, and another host still answers for it.
    type: list
    elements: dict
    default: []
  tunnel_ip:
    description: This host's own address, which tells its floating IPs from those of other hosts.
    type: str
  exact:
    description:
      - Whether legs, neighbours, routes and floating IPs that the router has besides go. A run that
        was told of some servers only must not take away what another was told of.
    type: bool
    default: true
  only_if_unused:
    description: With O(state=absent), keep a router of whose networks a port here is in one.
    type: bool
    default: false
  port_ids:
    description: Ports that are going, for whose sake O(only_if_unused) keeps nothing.
    type: list
    elements: str
    default: []
  service_backend:
    description: What supervises the services; see M(novella.cloud.service_unit).
    type: str
    choices: [auto, systemd, s6]
    default: auto
  ra_user:
    description: The user that dnsmasq becomes.
    type: str
    default: dnsmasq
extends_documentation_fragment:
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows cables, addresses, neighbours, routes, rules and services, before and after.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have a router between two networks
  novella.cloud.router_namespace:
    router_id: 5c2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a20
    tunnel_ip: 10.90.0.1
    interfaces:
      - port_id: 0a1b2c3d-4f7e-4d5e-9b5c-0f4d4b5d6a21
        mac_address: fa:16:3e:00:00:01
        ip_addresses: [{ip_address: 192.0.2.1, cidr: 192.0.2.0/25}]
        network:
          id: 0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
          mtu: 1450
          members: [{mac_address: fa:16:3e:00:00:0a, ip_addresses: [192.0.2.10]}]
      - port_id: 1a1b2c3d-4f7e-4d5e-9b5c-0f4d4b5d6a22
        mac_address: fa:16:3e:00:00:02
        ip_addresses: [{ip_address: 192.0.2.129, cidr: 192.0.2.128/25}]
        network: {id: 1b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a12, mtu: 1450, members: []}

- name: Remove it once no port uses its networks
  novella.cloud.router_namespace:
    router_id: 5c2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a20
    state: absent
    only_if_unused: true
"""

RETURN = r"""
namespace:
  description: The namespace's name, as C(ip netns) lists it.
  returned: success
  type: str
  sample: nvr-5c2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a20
used_by:
  description: The taps and ports for whose sake it was kept.
  returned: when it was kept by O(only_if_unused)
  type: list
  sample: [nvt5f2c0a1b2c3]
"""

from ..module_utils import router_namespace, work


def main() -> None:
    work.main(router_namespace.ARGUMENT_SPEC, router_namespace.run, router_namespace.SPEC_RULES)


if __name__ == "__main__":
    main()
