#!/usr/bin/python
"""Remove the routers that a host was not told of; the work is module_utils/unused_routers.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unused_routers
short_description: Remove the routers of a host, and the ways out for them, that are not named
description:
  - Removes each router's namespace that is not in O(keep), and then each external namespace that is
    not in O(keep_external) and that no router is connected to.
options:
  keep:
    description: Ids of the routers that stay.
    type: list
    elements: str
    default: []
  keep_external:
    description: Ids of the external networks whose namespaces stay in any case.
    type: list
    elements: str
    default: []
  service_backend:
    description: What supervises the routers' services; see M(novella.cloud.service_unit).
    type: str
    choices: [auto, systemd, s6]
    default: auto
extends_documentation_fragment:
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows what goes.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have one router and no other
  novella.cloud.unused_routers:
    keep: [5c2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a20]
    keep_external: [0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11]
"""

RETURN = r"""
removed:
  description: The routers' namespaces that went.
  returned: success
  type: list
  sample: [nvr-6c2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a21]
"""

from ..module_utils import unused_routers, work


def main() -> None:
    work.main(unused_routers.ARGUMENT_SPEC, unused_routers.run, unused_routers.SPEC_RULES)


if __name__ == "__main__":
    main()
