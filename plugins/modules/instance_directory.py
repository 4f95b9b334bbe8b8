#!/usr/bin/python
"""Keep the folder of a server's files; the work is module_utils/instance_directory.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_directory
short_description: Keep the folder that holds a server's disks
description:
  - Makes C(<state_path>/instances/<id>), which QEMU may enter and nobody but root may list.
  - Removing it takes all disks of the server along. The folder is renamed first (C(<id>_del)), so
    an interrupted removal is never taken for a server, and goes on with the next run.
  - Removing is refused while the server's QEMU runs.
options:
  id:
    description: The server's UUID.
    type: str
    required: true
  state:
    description:
      - Whether the folder is there.
      - V(quarantined) moves it to C(instances/_quarantine), from where
        M(novella.cloud.instance_quarantine) removes it later.
    type: str
    choices: [present, quarantined, absent]
    default: present
extends_documentation_fragment:
  - novella.cloud.host
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Lists the files that are removed.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Remove all disks of a server
  novella.cloud.instance_directory:
    id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    state: absent
"""

RETURN = r"""
path:
  description: The folder.
  returned: success
  type: str
  sample: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
"""

from ..module_utils import instance_directory, work


def main() -> None:
    work.main(instance_directory.ARGUMENT_SPEC, instance_directory.run)


if __name__ == "__main__":
    main()
