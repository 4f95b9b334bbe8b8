#!/usr/bin/python
"""Remove base images that nothing stands on; the work is module_utils/base_image_cache.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: base_image_cache
short_description: Remove base images that no disk stands on
description:
  - A host keeps each image that its servers were made of, raw, in C(instances/_base). This removes
    those that no disk on the host stands on (disks in quarantine count) and that were last used a
    while ago.
  - A base is looked at and removed under its lock, which making a disk takes too, so none goes from
    under a server. One that is missing is sent again when a server needs it.
options:
  older_than_s:
    description: How long ago the base was last used at least, in seconds by the host's clock.
    type: int
    default: 86400
  keep:
    description: Ids of images whose bases stay in any case.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - novella.cloud.host
  - novella.cloud.attributes.removes
attributes:
  diff_mode:
    description: Lists the files.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Free what base images have taken that were not used for a day
  novella.cloud.base_image_cache:
    older_than_s: 86400
"""

RETURN = r"""
removed:
  description: Names of the files that were removed.
  returned: success
  type: list
  elements: str
  sample: [356a192b7913b04c54574d18c28d46e6395428ab]
freed_bytes:
  description: What they took on the disk.
  returned: success
  type: int
  sample: 52428800
"""

from ..module_utils import base_image_cache, work


def main() -> None:
    work.main(base_image_cache.ARGUMENT_SPEC, base_image_cache.run)


if __name__ == "__main__":
    main()
