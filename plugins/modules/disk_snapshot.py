#!/usr/bin/python
"""Copy a server's disk as it is at one moment; the work is module_utils/disk_snapshot.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_snapshot
short_description: Have a copy of a server's disk that stands by itself
description:
  - Copies the disk with all that it stands on into one qcow2 file beside it, so that nothing of the
    host is named in it.
  - A guest that runs goes on meanwhile. QEMU mirrors its disk, and the mirror is cut off at one
    moment. A disk that nothing has open is copied by C(qemu-img).
  - A copy that is whole is not made again. What a killed run left is begun anew.
options:
  path:
    description: The disk, C(<state_path>/instances/<uuid>/disk).
    type: path
    required: true
  snapshot_id:
    description: A UUID that names the copy, C(snapshot.<id>) in the server's folder.
    type: str
    required: true
  state:
    description: Whether the copy is there.
    type: str
    choices: [present, absent]
    default: present
  quiesce:
    description:
      - Whether the guest's agent freezes its filesystems for the moment.
      - V(try) goes on without an agent, V(must) fails.
    type: str
    choices: ['no', try, must]
    default: 'no'
  max_bytes:
    description: How large the copy may be; any size by default.
    type: int
  fetch_to:
    description: A file on Ansible's side that the copy is brought to, over the play's connection.
    type: path
  fetch_reserve_bytes:
    description: What is left free of the disk that O(fetch_to) is on.
    type: int
  disk_work_slots:
    description: How many disks the host copies or converts at once.
    type: int
    default: 2
extends_documentation_fragment:
  - novella.cloud.domain.owner
  - novella.cloud.host
  - novella.cloud.libvirt
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows the copy's size.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Copy a server's disk while it runs
  novella.cloud.disk_snapshot:
    path: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk
    snapshot_id: 0d1f7a3e-7a58-4f0e-8a3f-1c2d3e4f5a6b
    quiesce: try
    fetch_to: /srv/images/web1.qcow2
"""

RETURN = r"""
snapshot:
  description: The copy, C(path), C(size_bytes) and C(sha256).
  returned: when it is there
  type: dict
image:
  description: What was fetched, C(size_bytes), C(md5), C(sha256) and C(sha512).
  returned: when O(fetch_to) was given
  type: dict
"""

from ..module_utils import disk_snapshot, work


def main() -> None:
    work.main(disk_snapshot.ARGUMENT_SPEC, disk_snapshot.run)


if __name__ == "__main__":
    main()
