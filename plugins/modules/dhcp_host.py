#!/usr/bin/python
"""Have a port's addresses in DHCP on a host; the work is module_utils/dhcp_host.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dhcp_host
short_description: Have a port's addresses in its network's DHCP server on a host
description:
  - Writes or removes the port's file in the folder that the network's dnsmasq reads, and has
    dnsmasq read it again when that is a change.
  - Leases that stand in the way, of a port that is gone or of an address's earlier owner, are given
    back, so that an address can go to its next owner at once.
options:
  network_id:
    description: The network's UUID. It must be on the host; see M(novella.cloud.network_namespace).
    type: str
    required: true
  port_id:
    description: The port's UUID.
    type: str
    required: true
  state:
    description: Whether the port is known to DHCP.
    type: str
    choices: [present, absent]
    default: present
  mac_address:
    description: The port's MAC address. Needed unless O(state=absent).
    type: str
  ip_addresses:
    description: The port's addresses in this network. IPv6 ones are passed over.
    type: list
    elements: str
    default: []
  hostname:
    description: The name that DHCP gives, as RFC 1123 has it.
    type: str
  extra_dhcp_opts:
    description:
      - What the guest is told besides, each with C(opt_name) (dnsmasq's name of the option, or its
        number), C(opt_value) and C(ip_version) (4 or 6).
    type: list
    elements: dict
    default: []
  service_backend:
    description: What supervises dnsmasq; see M(novella.cloud.service_unit).
    type: str
    choices: [auto, systemd, s6]
    default: auto
extends_documentation_fragment:
  - novella.cloud.host
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows the port's file.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Reserve an address for a port
  novella.cloud.dhcp_host:
    network_id: 0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
    port_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    mac_address: fa:16:3e:00:00:01
    ip_addresses: [10.91.1.100]
    hostname: web1
"""

RETURN = r"""
# Nothing but what every module returns.
"""

from ..module_utils import dhcp_host, work


def main() -> None:
    work.main(dhcp_host.ARGUMENT_SPEC, dhcp_host.run, dhcp_host.SPEC_RULES)


if __name__ == "__main__":
    main()
