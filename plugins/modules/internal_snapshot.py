#!/usr/bin/python
"""Snapshots inside a server's disks; the work is module_utils/internal_snapshot.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: internal_snapshot
short_description: Take, remove and go back to snapshots inside a server's disks
description:
  - The root disk and the ephemeral disk keep what they are at that moment, inside their own qcow2
    files. The guest's memory, its swap and its config drive are no part of it.
  - A guest that runs goes on; QEMU takes all of its disks at one point in time. To go back, the
    domain must be off.
options:
  snapshot_id:
    description: The snapshot's UUID.
    type: str
    required: true
  state:
    description:
      - V(present) takes it, on the disks that have none of that id.
      - V(absent) removes it.
      - V(reverted) makes the disks what it says. What was written since is lost. It always changes
        something.
    type: str
    choices: [present, absent, reverted]
    default: present
  quiesce:
    description: Whether the guest's filesystems are frozen for the moment, by its agent.
    type: str
    choices: ['no', try, must]
    default: try
extends_documentation_fragment:
  - novella.cloud.domain
  - novella.cloud.domain.owner
  - novella.cloud.host
  - novella.cloud.libvirt
attributes:
  check_mode:
    description: Says what would be taken, removed or reverted and changes nothing.
    support: full
  diff_mode:
    description: Names the disks.
    support: full
requirements: [python3-libvirt, qemu-utils]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Keep a server's disks as they are now
  novella.cloud.internal_snapshot:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    snapshot_id: 1c8b7c0e-8a3e-4f5d-9d0e-7a6b5c4d3e2f

- name: Go back to that
  novella.cloud.internal_snapshot:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    snapshot_id: 1c8b7c0e-8a3e-4f5d-9d0e-7a6b5c4d3e2f
    state: reverted
"""

RETURN = r"""
partly_reverted:
  description: Whether some of the disks are as they were then, and others are not.
  returned: O(state=reverted) fails at a disk
  type: bool
  sample: false
"""

from ..module_utils import internal_snapshot, work


def main() -> None:
    work.main(internal_snapshot.ARGUMENT_SPEC, internal_snapshot.run)


if __name__ == "__main__":
    main()
