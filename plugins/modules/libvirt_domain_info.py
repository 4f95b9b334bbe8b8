#!/usr/bin/python
"""Read the domains of a host; the work is module_utils/libvirt_domain_info.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_domain_info
short_description: Read the libvirt domains of a host
description:
  - Lists domains with their state, marks, disks and interfaces. Changes nothing.
options:
  server_id:
    description: Only the domain of this server. It is no error if there is none.
    type: str
    aliases: [id]
  cloud_id:
    description: Only domains with the mark of this cloud.
    type: str
extends_documentation_fragment:
  - novella.cloud.libvirt
  - novella.cloud.attributes.reads
requirements: [python3-libvirt]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: See what runs on a host
  novella.cloud.libvirt_domain_info:
  register: __host
"""

RETURN = r"""
domains:
  description: The domains, by name. Without our mark C(cloud_id) is null.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
      name: novella-5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
      cloud_id: 00000000-0000-0000-0000-000000000000
      mark: {name: web1, flavor: m1.tiny, project: by-hand}
      state: running
      persistent: true
      virt_type: qemu
      machine: pc-i440fx-7.2
      vcpus: 1
      memory_mb: 128
      disks:
        - device: vda
          source: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk
          format: qcow2
          serial: null
      interfaces:
        - {tap: nvt0a1b2c3d4e5, mac_address: "fa:16:3e:00:00:01", bridge: nvb0a1b2c3d4e5}
      vnc_port: 5900
      spice_port: 5901
"""

from ..module_utils import libvirt_domain_info, work


def main() -> None:
    work.main(libvirt_domain_info.ARGUMENT_SPEC, libvirt_domain_info.run)


if __name__ == "__main__":
    main()
