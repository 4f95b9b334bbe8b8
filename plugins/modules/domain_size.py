#!/usr/bin/python
"""Bring a running domain to another size; the work is module_utils/domain_size.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: domain_size
short_description: Give a running server more vCPUs, or more or less memory
description:
  - Plugs vCPUs in, and has the memory balloon of the guest take or give back memory, within what
    the domain was started with as the most. Its definition stays as it is (C(libvirt_domain)).
  - A guest must go along with memory; one without the driver virtio_balloon keeps what it was
    started with. Its agent, if it is there, switches new vCPUs on.
  - vCPUs are never taken out, since few guests let go of them; a guest keeps them until its next
    start.
  - A domain that is off is left alone.
options:
  vcpus:
    description: The number of virtual CPUs that it has at least.
    type: int
    required: true
  memory_mb:
    description: The memory in MiB.
    type: int
    required: true
  timeout_s:
    description: How long the guest is given to go along, in seconds.
    type: int
    default: 60
extends_documentation_fragment:
  - novella.cloud.domain
  - novella.cloud.domain.owner
  - novella.cloud.libvirt
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows both sizes.
    support: full
requirements: [python3-libvirt]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Give a server two vCPUs and 2 GiB
  novella.cloud.domain_size:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    vcpus: 2
    memory_mb: 2048
"""

RETURN = r"""
size:
  description: The sizes; nothing for a domain that is off.
  returned: success
  type: dict
  sample:
    vcpus: 2
    memory_mb: 2048
"""

from ..module_utils import domain_size, work


def main() -> None:
    work.main(domain_size.ARGUMENT_SPEC, domain_size.run)


if __name__ == "__main__":
    main()
