#!/usr/bin/python
"""Read the domains of a host; the work is module_utils/host_domains_info.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_domains_info
short_description: Read a host's domains with all that taking one over needs
description:
  - Lists all domains, whoever made them, with their disks, cards, reserved addresses and what their
    guests are told. Changes nothing and takes no lock.
  - Secrets are not in it. Of user data it has a digest.
extends_documentation_fragment:
  - novella.cloud.host
  - novella.cloud.libvirt
  - novella.cloud.attributes.reads
requirements: [python3-libvirt]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: See which domains a host has
  novella.cloud.host_domains_info:
  register: __host
"""

RETURN = r"""
found:
  description: C(state_path) and C(domains). What is not known of a domain is null.
  returned: success
  type: dict
  sample:
    state_path: /var/lib/novella
    domains:
      - id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
        name: novella-5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
        cloud_id: 00000000-0000-0000-0000-000000000000
        mark: {name: web1, flavor: m1.tiny, project: by-hand}
        state: running
        persistent: true
        vcpus: 1
        memory_mb: 128
        disks:
          - device: vda
            source: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk
            format: qcow2
            serial: null
            virtual_size_bytes: 1073741824
            backing_file: /var/lib/novella/instances/_base/0a1b
        interfaces:
          - tap: nvt0a1b2c3d4e5
            mac_address: fa:16:3e:5f:2c:bb
            bridge: nvbaa2cbb634f7
            port:
              network_id: aa2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
              port_id: 0a1b2c3d-4e5f-4d5e-9b5c-0f4d4b5d6a10
              lines: ["fa:16:3e:5f:2c:bb,192.0.2.100,web1"]
        guest: {name: web1, hostname: web1, security_groups: web, user_data_sha256: null}
        fence: {owner: 00000000-0000-0000-0000-000000000000, generation: null}
"""

from ..module_utils import host_domains_info, work


def main() -> None:
    work.main(host_domains_info.ARGUMENT_SPEC, host_domains_info.run)


if __name__ == "__main__":
    main()
