#!/usr/bin/python
"""Read what a host can carry; the work is module_utils/compute_host_info.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compute_host_info
short_description: Read the CPUs, memory, disk and virtualization of a host
description:
  - What the controller's inventory of a host is made from. Changes nothing.
options:
  state_path:
    description: Where Novella keeps its files on the host; its filesystem is the one measured.
    type: path
    default: /var/lib/novella
  virt_type:
    description: V(auto) finds out. Another value is taken for granted.
    type: str
    choices: [auto, kvm, qemu]
    default: auto
extends_documentation_fragment:
  - novella.cloud.libvirt
  - novella.cloud.attributes.reads
requirements: [python3-libvirt]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Read what the host can carry
  novella.cloud.compute_host_info:
  register: __compute_host
"""

RETURN = r"""
host:
  description:
    - Memory in MiB and disk in GiB, rounded down.
    - C(boot_id) is another text after each boot. C(domain_states) has our domains by server.
    - C(posted_passwords) has what guests posted, encrypted by their owners' keys.
  returned: success
  type: dict
  sample:
    hostname: h1
    boot_id: 2c5e3f0a-8f4d-4c53-9a37-0f3c1f6b1a11/31
    machine_id: 4cd1fd5b3a5c4c07a1a3fd0a52f0ad9e
    architecture: x86_64
    cpus: 2
    cpu_model: AMD EPYC
    memory_mb: 48193
    disk_gb: 251
    disk_free_gb: 79
    virt_type: qemu
    vlan: true
    emulator: /usr/bin/qemu-system-x86_64
    machine: pc-i440fx-7.2
    libvirt_version: 9.0.0
    qemu_version: 7.2.22
    running_domains: 0
    domain_states: {5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10: running}
"""

from ..module_utils import compute_host_info, work


def main() -> None:
    work.main(compute_host_info.ARGUMENT_SPEC, compute_host_info.run)


if __name__ == "__main__":
    main()
