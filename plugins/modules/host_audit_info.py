#!/usr/bin/python
"""Read all that Novella has on a host; the work is module_utils/host_audit_info.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_audit_info
short_description: Read all that Novella has on a host
description:
  - Lists domains, files, interfaces, rules, services and records that bear our marks or prefixes.
    Changes nothing, takes no lock, and is safe beside whatever else works on the host.
  - Secrets are not in it. Of metadata documents it says that they are there.
options:
  service_backend:
    description: What supervises our services.
    type: str
    choices: [auto, systemd, s6]
    default: auto
extends_documentation_fragment:
  - novella.cloud.host
  - novella.cloud.libvirt
  - novella.cloud.attributes.reads
requirements: [python3-libvirt]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: See what a host has of ours
  novella.cloud.host_audit_info:
  register: __host
"""

RETURN = r"""
audit:
  description:
    - What there is. A part that could not be read is null, and C(unread) says why.
    - A list of more than 20,000 entries is cut, and named in C(truncated).
  returned: success
  type: dict
  sample:
    unread: {}
    truncated: []
    domains:
      - id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
        name: novella-5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
        cloud_id: 00000000-0000-0000-0000-000000000000
        state: running
        persistent: true
        disks: [/var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk]
        taps: [nvt0a1b2c3d4e5]
        autostart: false
    folders:
      - name: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
        server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
        files:
          - name: disk
            size_bytes: 197120
            allocated_bytes: 200704
            backing_file: /var/lib/novella/instances/_base/0a1b
            backing_is_there: true
    quarantine:
      - {server_id: 0e0cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10, since: 1790000000, allocated_bytes: 4096}
    bases:
      - {name: 0a1b, size_bytes: 268435456, age_s: 60}
    networks: [aa2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10]
    dhcp_hosts:
      - network_id: aa2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
        port_id: 0a1b2c3d-4e5f-4d5e-9b5c-0f4d4b5d6a10
        lines: ["fa:16:3e:00:00:01,192.0.2.100,web1"]
    metadata:
      - {network_id: aa2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10, address: 192.0.2.100}
    fences:
      - server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
        owner: 00000000-0000-0000-0000-000000000000
        generation: 3
    journal: [77777777-4f7e-4d5e-9b5c-0f4d4b5d6a10]
    links:
      - {name: nvt0a1b2c3d4e5, kind: tap, bridge: nvbaa2cbb634f7}
    namespaces: [aa2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10]
    routers:
      - id: 5c2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a20
        legs: [nvr0a1b2c3d4e5]
        external: [0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11]
    external_networks: [0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11]
    claims:
      - {bridge: nvbaa2cbb634f7, port_id: 0a1b2c3d-4e5f-4d5e-9b5c-0f4d4b5d6a10}
    chains:
      - {table: iptables, name: nv-i-0a1b2c3d4e5}
      - {table: iptables, name: nv-ingress, taps: [nvt0a1b2c3d4e5]}
    sets:
      - {name: nvs4-0a1b2c3d4e5f60718293, members: 2}
    services:
      - {name: dhcp-aa2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10, state: up}
"""

from ..module_utils import host_audit_info, work


def main() -> None:
    work.main(host_audit_info.ARGUMENT_SPEC, host_audit_info.run)


if __name__ == "__main__":
    main()
