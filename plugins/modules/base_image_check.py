#!/usr/bin/python
"""Find damaged base images and remove unused ones; the work is module_utils/base_image_check.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: base_image_check
short_description: Find base images that are damaged, and remove those that no disk stands on
description:
  - Reads each base in C(instances/_base) and compares it with what was noted when it was made.
    Holes are not read.
  - A damaged base is removed under its lock if no disk on the host stands on it (disks that are set
    aside or in quarantine count). It is sent or made again when a server needs it.
  - One that a disk stands on stays, and is reported.
options:
  repair:
    description: Whether damaged bases are removed, or all are only reported.
    type: bool
    default: true
extends_documentation_fragment:
  - novella.cloud.host
  - novella.cloud.attributes.removes
attributes:
  diff_mode:
    description: Lists the bases.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Remove damaged bases
  novella.cloud.base_image_check:
"""

RETURN = r"""
bases:
  description:
    - How many bases were compared; the names of those of which nobody noted what they were made as,
      of those that were removed, and of damaged ones that are still there.
  returned: success
  type: dict
  sample:
    checked: 3
    unknown: []
    removed: [356a192b7913b04c54574d18c28d46e6395428ab]
    damaged: []
"""

from ..module_utils import base_image_check, work


def main() -> None:
    work.main(base_image_check.ARGUMENT_SPEC, base_image_check.run)


if __name__ == "__main__":
    main()
