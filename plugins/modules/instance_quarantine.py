#!/usr/bin/python
"""Empty the quarantine of disks; the work is module_utils/instance_quarantine.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_quarantine
short_description: Remove disks that have been in quarantine for long enough
description:
  - Folders of deleted servers that a host still had are set aside in C(instances/_quarantine), by
    M(novella.cloud.instance_directory) with C(state=quarantined). This removes those that have been
    there for the given time.
options:
  older_than_s:
    description: How long a folder has been there at least, in seconds by the host's clock.
    type: int
    default: 86400
extends_documentation_fragment:
  - novella.cloud.host
  - novella.cloud.attributes.removes
attributes:
  diff_mode:
    description: Lists the folders.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Remove what has been in quarantine for a day
  novella.cloud.instance_quarantine:
    older_than_s: 86400
"""

RETURN = r"""
removed:
  description: What was removed, with the time since when it was there (seconds since 1970).
  returned: success
  type: list
  elements: dict
  sample: [{server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10, since: 1790000000}]
kept:
  description: What stays for now.
  returned: success
  type: list
  elements: dict
  sample: []
"""

from ..module_utils import instance_quarantine, work


def main() -> None:
    work.main(instance_quarantine.ARGUMENT_SPEC, instance_quarantine.run)


if __name__ == "__main__":
    main()
