#!/usr/bin/python
"""Documentation of plugins/action/live_migration.py: it runs on Ansible's side, none on hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: live_migration
short_description: Migrate a running server to another host
version_added: "0.1.0"
description:
  - Runs on Ansible's side, with a connection to each host; the play's host is the source. Memory
    and disks go from host to host under TLS (M(novella.cloud.move_credentials), V(live)).
  - Finds out first what an earlier run has left half done, and brings that to an end. A server that
    runs at the destination already is left there.
  - Needs C(python3-libvirt) for C(/usr/bin/python3) on Ansible's side.
options:
  servers:
    description:
      - The servers, as the roles take them, each with its C(id), and C(generation) by the
        controller.
      - In C(move), C(peer_name) is where it goes, C(shared) whether both hosts have the same folder
        of servers, and C(settle) whether only what was left half done is brought to its end.
    type: list
    elements: dict
    required: true
  owner:
    description: Id of the cloud that runs this; all zeros for a run by hand.
    type: str
    default: 00000000-0000-0000-0000-000000000000
  override:
    description: Touch the server although another cloud owns it.
    type: bool
    default: false
  destination:
    description: The other host's name in the inventory, for servers that do not say it.
    type: str
    default: ""
  lock_timeout_s:
    description: How many seconds to wait for a run that is at work on the server.
    type: int
    default: 180
extends_documentation_fragment:
  - novella.cloud.host
attributes:
  check_mode:
    description: Says what would come of it, from reads of both hosts alone, past the fence.
    support: full
  diff_mode:
    description: Shows the host before and after, and in check mode what fits of the two.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Migrate a server to compute2
  novella.cloud.live_migration:
    servers:
      - id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    destination: compute2
"""

RETURN = r"""
results:
  description:
    - A result for each server, as M(novella.cloud.apply) has them; that of the step has C(where)
      the server is (C(source) or C(destination)) and C(downtime_ms), for how long its guest stood
      still.
  returned: always
  type: list
  elements: dict
"""
