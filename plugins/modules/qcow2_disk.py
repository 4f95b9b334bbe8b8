#!/usr/bin/python
"""Keep a server's disk as it should be; the work is module_utils/qcow2_disk.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: qcow2_disk
short_description: Keep a server's qcow2 disk on a shared base image
description:
  - Makes a disk in the folder of a server, an overlay on a base that all disks of that image share,
    or on a shared empty filesystem or swap area, or on nothing.
  - The base lies in C(<state_path>/instances/_base), named by the SHA-1 of the image's id. It is
    made once, under a lock, verified against its checksum, inspected, converted to raw, and
    read-only.
  - An image is refused if its bytes show another format than the one declared, if it names a
    backing file or an external data file, or if it is larger than the disk. Nothing is left behind
    then.
  - A disk only ever grows. One that is there keeps its content.
options:
  path:
    description: C(<state_path>/instances/<server uuid>/disk), or there C(disk.local), C(disk.swap).
    type: path
    required: true
  state:
    description:
      - V(present) makes the disk if it is not there, and grows it if it is too small.
      - V(kept) does the same with one that is there, its base included, and fails when it is gone,
        for nothing brings back what a guest wrote. With neither base, content nor size it only
        looks.
      - V(base) has the base alone, for a disk that will be brought.
      - V(absent) removes the disk. Its base stays.
    type: str
    choices: [present, kept, base, absent]
    default: present
  size_gb:
    description: The size in GiB. 0 or left out means as large as the image.
    type: int
  size_mb:
    description: The size in MiB, instead of O(size_gb).
    type: int
  base:
    description: The image that the disk is an overlay of.
    type: dict
    suboptions:
      image_id:
        description: The image's UUID.
        type: str
        required: true
      format:
        description: The format that the image was declared as. QEMU never guesses it.
        type: str
        choices: [raw, qcow2, iso]
        required: true
      checksum:
        description: C(sha256:<hex>) or C(sha512:<hex>) of the file as uploaded.
        type: str
      size_bytes:
        description: The size of the file as uploaded. Needed unless O(base.source) is given.
        type: int
      virtual_size_bytes:
        description: The size of the disk inside, to refuse a small flavor before any byte is sent.
        type: int
      stream_from:
        description: The image file on Ansible's side (absolute). It is sent over the play's own
          connection when the host has no base of the image.
        type: path
      source:
        description:
          - A file on the host to make the base of.
          - Without it the bytes are expected in C(<base>.part), where the playbooks stream them. If
            they are not there the module fails and RV(missing_base) says what is missing.
        type: path
  content:
    description:
      - V(overlay) stands on O(base), and is meant if that is given.
      - V(standalone) is a copy of O(base), and needs it no more once it is made. A disk that stands
        by itself is kept as it is, whatever O(base) says.
      - V(ext4), V(vfat) and V(swap) stand on a shared base formatted so.
      - V(blank) stands on nothing, and is meant if there is no O(base).
    type: str
    choices: [overlay, standalone, ext4, vfat, swap, blank]
  disk_work_slots:
    description: How many bases are verified, converted or formatted at once on the host.
    type: int
    default: 2
extends_documentation_fragment:
  - novella.cloud.host
attributes:
  check_mode:
    description: Says what would be made, grown or removed and changes nothing, lock files included.
    support: full
  diff_mode:
    description: Shows format, size and backing file of the disk, and the base if it has to be made.
    support: full
requirements: [qemu-utils]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Make the root disk of a server
  novella.cloud.qcow2_disk:
    path: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk
    size_gb: 20
    base:
      image_id: 0b7a3d52-6a0c-4a54-8f0a-6a1f4a9a0c11
      format: qcow2
      checksum: sha256:4c1f8d2d5b2e0d3b8b6f2b4b1a7b1c9f0f3f6a0d4b5e6c7d8e9f0a1b2c3d4e5f
      source: /srv/images/debian-12.qcow2

- name: Refuse to start a server whose disk is gone
  novella.cloud.qcow2_disk:
    path: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk
    state: kept

- name: Make its swap disk
  novella.cloud.qcow2_disk:
    path: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk.swap
    size_mb: 512
    content: swap
"""

RETURN = r"""
disk:
  description: The disk as it is now (in check mode, as it would be).
  returned: O(state=present), or O(state=kept) with base, content or size
  type: dict
  sample:
    path: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk
    format: qcow2
    virtual_size_bytes: 21474836480
    backing_file: /var/lib/novella/instances/_base/3dc0e2b5f1f2e0b4d7a9c8b6e5f4d3c2b1a09f8e
base:
  description: The base below the disk, and whether this run made it.
  returned: the disk has a base
  type: dict
  sample:
    path: /var/lib/novella/instances/_base/3dc0e2b5f1f2e0b4d7a9c8b6e5f4d3c2b1a09f8e
    made: false
disk_gone:
  description: The disk that should be there and is not.
  returned: the module fails for that, O(state=kept)
  type: str
  sample: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk
missing_base:
  description: What to stream where, from which offset on, before the module can go on.
  returned: the bytes of the image are not on the host
  type: dict
  sample:
    image_id: 0b7a3d52-6a0c-4a54-8f0a-6a1f4a9a0c11
    format: qcow2
    checksum: sha256:4c1f8d2d5b2e0d3b8b6f2b4b1a7b1c9f0f3f6a0d4b5e6c7d8e9f0a1b2c3d4e5f
    size_bytes: 19000000
    base: /var/lib/novella/instances/_base/3dc0e2b5f1f2e0b4d7a9c8b6e5f4d3c2b1a09f8e
    part: /var/lib/novella/instances/_base/3dc0e2b5f1f2e0b4d7a9c8b6e5f4d3c2b1a09f8e.part
    offset: 0
"""

from ..module_utils import qcow2_disk, work


def main() -> None:
    work.main(qcow2_disk.ARGUMENT_SPEC, qcow2_disk.run, qcow2_disk.SPEC_RULES)


if __name__ == "__main__":
    main()
