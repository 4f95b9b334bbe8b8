#!/usr/bin/python
"""Remove networks that a host does not need; the work is module_utils/unused_networks.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: unused_networks
short_description: Remove the networks that nothing on a host uses
description:
  - Removes the namespaces and bridges of networks that are not named here, with what belongs to
    them, unless a guest, a router, a port with an address here or a recorded port uses them.
  - Only what bears our names is looked at.
options:
  keep:
    description: Networks that stay as they are.
    type: list
    elements: str
    default: []
  keep_bridges:
    description: Networks whose bridges stay, but whose namespaces go when no port uses them.
    type: list
    elements: str
    default: []
  service_backend:
    description: What supervises the networks' services; see M(novella.cloud.service_unit).
    type: str
    choices: [auto, systemd, s6]
    default: auto
extends_documentation_fragment:
  - novella.cloud.host
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows what is removed.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Remove all networks but one that nothing uses
  novella.cloud.unused_networks:
    keep: [0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11]
"""

RETURN = r"""
# Nothing but what every module returns.
"""

from ..module_utils import unused_networks, work


def main() -> None:
    work.main(unused_networks.ARGUMENT_SPEC, unused_networks.run, unused_networks.SPEC_RULES)


if __name__ == "__main__":
    main()
