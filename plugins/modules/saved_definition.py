#!/usr/bin/python
"""Keep a domain's definition aside; the work is module_utils/saved_definition.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: saved_definition
short_description: Keep a domain's definition aside, and put it back
description:
  - For a server that runs with another definition for a while, such as one that is rescued.
  - The definition is kept as libvirt has it, in C(unrescue.xml) in the server's folder. One that is
    kept already is not replaced.
  - Putting it back ends the domain's process, defines what was kept, and forgets it. The domain is
    not started.
options:
  state:
    description: Whether the definition is kept aside, or back in its place.
    type: str
    choices: [saved, restored]
    default: saved
extends_documentation_fragment:
  - novella.cloud.server
  - novella.cloud.domain.owner
  - novella.cloud.host
  - novella.cloud.libvirt
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows the definition.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Keep the definition of a server that is going to be rescued
  novella.cloud.saved_definition:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
"""

RETURN = r"""
path:
  description: Where the definition is kept.
  returned: success
  type: str
  sample: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/unrescue.xml
"""

from ..module_utils import saved_definition, work


def main() -> None:
    work.main(saved_definition.ARGUMENT_SPEC, saved_definition.run)


if __name__ == "__main__":
    main()
