#!/usr/bin/python
"""Have a network's namespace on a host; the work is module_utils/network_namespace.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network_namespace
short_description: Have the namespace of a network on a host, with its DHCP and metadata services
description:
  - Makes the namespace C(nvn-<network id>), a cable from it into the network's bridge, its
    addresses (each subnet's DHCP address, the gateway where we serve that, and 169.254.169.254),
    and two supervised services inside, dnsmasq and the metadata server, neither of which runs as
    root.
  - Every host has the same addresses, so ebtables keeps them, DHCP and metadata from crossing the
    bridge's uplink.
  - The metadata server is C(/usr/local/lib/novella/metadata_server.py), which enrolment installs.
options:
  network_id:
    description: The network's UUID.
    type: str
    required: true
  state:
    description: Whether it is there.
    type: str
    choices: [present, absent]
    default: present
  bridge:
    description: The network's bridge. Made from O(network_id) unless given.
    type: str
  mtu:
    description: The network's MTU in bytes, which DHCP tells guests.
    type: int
    default: 1500
  subnets:
    description:
      - The subnets, each with C(id), C(cidr), C(gateway_ip), C(dhcp_ip) (without one there is no
        DHCP), C(gateway_served) (whether the namespace is the gateway), C(routed) (whether a router
        is, which then sends the advertisements), C(ipv6_ra_mode) and C(ipv6_address_mode) (each
        slaac, dhcpv6-stateful or dhcpv6-stateless), C(dns_nameservers) and C(host_routes) (each
        with C(destination) and C(nexthop)).
    type: list
    elements: dict
    default: []
  port_ids:
    description:
      - Ports for whose sake the network is needed. With O(state=present) they are recorded, so that
        a delete that runs at the same time keeps the network; with O(state=absent) the record goes.
    type: list
    elements: str
    default: []
  service_backend:
    description: What supervises the services; see M(novella.cloud.service_unit).
    type: str
    choices: [auto, systemd, s6]
    default: auto
  dhcp_user:
    description: The user that dnsmasq becomes.
    type: str
    default: dnsmasq
  metadata_user:
    description:
      - The user of the metadata server, which enrolment makes; its group may read the documents.
    type: str
    default: novella-metadata
  only_if_unused:
    description: With O(state=absent), keep a network that a port on this host uses.
    type: bool
    default: false
extends_documentation_fragment:
  - novella.cloud.host
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows addresses, rules, dnsmasq's configuration and the services, before and after.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have the external network served on this host
  novella.cloud.network_namespace:
    network_id: 0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
    mtu: 1500
    subnets:
      - id: 77b0a3a2-4f7e-4d5e-9b5c-0f4d4b5d6a12
        cidr: 10.91.1.0/24
        gateway_ip: 10.91.1.1
        dhcp_ip: 10.91.1.2

- name: Remove it once no port uses it
  novella.cloud.network_namespace:
    network_id: 0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
    state: absent
    only_if_unused: true
"""

RETURN = r"""
namespace:
  description: The namespace's name, as C(ip netns) lists it.
  returned: success
  type: str
  sample: nvn-0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
used_by:
  description: The ports and taps for whose sake it was kept.
  returned: when it was kept by O(only_if_unused)
  type: list
  sample: [5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10]
"""

from ..module_utils import network_namespace, work


def main() -> None:
    work.main(network_namespace.ARGUMENT_SPEC, network_namespace.run, network_namespace.SPEC_RULES)


if __name__ == "__main__":
    main()
