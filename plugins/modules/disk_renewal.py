#!/usr/bin/python
"""Put a new root disk in the old one's place; the work is module_utils/disk_renewal.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_renewal
short_description: Make a server's root disk anew
description:
  - Has the disk hold nothing from before a renewal, which goes by an id. A renewal that was done is
    not done again, so a second run with the same id changes nothing.
  - The new disk is made beside the old one, while the server may still run. Only then its domain is
    removed with its definition, and the disks are exchanged. An image that is not there, is not
    what it says or does not fit leaves everything as it was.
options:
  path:
    description: The root disk, C(<state_path>/instances/<uuid>/disk).
    type: path
    required: true
  renewal_id:
    description: A UUID that names this renewal.
    type: str
    required: true
  base:
    description: The image, as in M(novella.cloud.qcow2_disk).
    type: dict
    required: true
    suboptions:
      image_id:
        description: UUID of the image.
        type: str
        required: true
      format:
        description: What the image says it is.
        type: str
        required: true
        choices: [raw, qcow2, iso]
      checksum:
        description: Of the file as uploaded, C(sha256:HEX) or C(sha512:HEX).
        type: str
      size_bytes:
        description: Size of the file as uploaded.
        type: int
      virtual_size_bytes:
        description: Size of the disk inside.
        type: int
      source:
        description: A file on the host to make the base of.
        type: path
      stream_from:
        description: A file on Ansible's side, sent when the host has no base.
        type: path
  size_gb:
    description: Size of the new disk in GiB; by default that of the image.
    type: int
  gone_with_it:
    description: Further disks of the server, whose content goes too. They are not made again here.
    type: list
    elements: path
    default: []
  disk_work_slots:
    description: How many images the host converts at once.
    type: int
    default: 2
extends_documentation_fragment:
  - novella.cloud.domain.owner
  - novella.cloud.host
  - novella.cloud.libvirt
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows the new disk, and what goes.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have a server start afresh from its image
  novella.cloud.disk_renewal:
    path: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk
    renewal_id: 0d1f7a3e-7a58-4f0e-8a3f-1c2d3e4f5a6b
    size_gb: 1
    base:
      image_id: 1e6f2b1c-52b7-4e0f-9d4a-7f1c2d3e4f50
      format: qcow2
"""

RETURN = r"""
path:
  description: The disk.
  returned: success
  type: str
  sample: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk
base:
  description: The base that the new disk stands on, as M(novella.cloud.qcow2_disk) returns it.
  returned: changed
  type: dict
"""

from ..module_utils import disk_renewal, work


def main() -> None:
    work.main(disk_renewal.ARGUMENT_SPEC, disk_renewal.run)


if __name__ == "__main__":
    main()
