#!/usr/bin/python
"""Have the base of an image on the host; the work is module_utils/prefetched_image.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prefetched_image
short_description: Have the base of an image on a host before a server needs it
description:
  - Makes the base that disks of an image stand on, as C(qcow2_disk) would for the first of them. It
    is verified against its checksum, inspected, converted to raw, and read-only.
  - One that is there is left as it is. Its age, by which unused bases are removed, counts from now.
options:
  base:
    description: The image.
    type: dict
    required: true
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
        description: The size of the disk inside.
        type: int
      stream_from:
        description: The image file on Ansible's side (absolute). It is sent over the play's own
          connection when the host has no base of the image.
        type: path
      source:
        description: A file on the host to make the base of, instead of streamed bytes.
        type: path
  disk_work_slots:
    description: How many bases are verified or converted at once on the host.
    type: int
    default: 2
extends_documentation_fragment:
  - novella.cloud.host
attributes:
  check_mode:
    description: Says whether the base would be made and changes nothing.
    support: full
  diff_mode:
    description: Shows the base if it has to be made.
    support: full
requirements: [qemu-utils]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have an image on the host
  novella.cloud.prefetched_image:
    base:
      image_id: 0b7a3d52-6a0c-4a54-8f0a-6a1f4a9a0c11
      format: qcow2
      stream_from: /srv/images/debian-12.qcow2
"""

RETURN = r"""
base:
  description: The base, and whether this run made it.
  returned: success
  type: dict
  sample:
    path: /var/lib/novella/instances/_base/3dc0e2b5f1f2e0b4d7a9c8b6e5f4d3c2b1a09f8e
    made: true
missing_base:
  description: What to stream where, from which offset on, before the module can go on.
  returned: the bytes of the image are not on the host
  type: dict
  sample:
    image_id: 0b7a3d52-6a0c-4a54-8f0a-6a1f4a9a0c11
    format: qcow2
    checksum: null
    size_bytes: 19000000
    base: /var/lib/novella/instances/_base/3dc0e2b5f1f2e0b4d7a9c8b6e5f4d3c2b1a09f8e
    part: /var/lib/novella/instances/_base/3dc0e2b5f1f2e0b4d7a9c8b6e5f4d3c2b1a09f8e.part
    offset: 0
"""

from ..module_utils import prefetched_image, work


def main() -> None:
    work.main(prefetched_image.ARGUMENT_SPEC, prefetched_image.run)


if __name__ == "__main__":
    main()
