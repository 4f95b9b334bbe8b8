#!/usr/bin/python
"""Say whose a server's domain is; the work is module_utils/domain_mark.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: domain_mark
short_description: Have a server's domain bear the mark of a cloud
description:
  - Changes whose the domain is in its definition, in what runs, in the copies of the definition and
    in the fence's record. The guest notices nothing of it.
options:
  cloud_id:
    description: The cloud that the domain is to belong to; all zeros for none.
    type: str
    required: true
  from_clouds:
    description: The clouds whose mark it may bear before.
    type: list
    elements: str
    default: []
  name:
    description: The server's name; any text.
    type: str
    default: ''
  flavor:
    description: The name of its flavor; any text.
    type: str
    default: ''
  project_id:
    description: Whose server it is.
    type: str
    default: ''
  if_missing:
    description: Whether it is a failure that the server has no domain, or left at that.
    type: str
    choices: [fail, leave]
    default: fail
extends_documentation_fragment:
  - novella.cloud.domain
  - novella.cloud.host
  - novella.cloud.libvirt
attributes:
  check_mode:
    description: Changes nothing on the host, and reports what would change.
    support: full
  diff_mode:
    description: Shows the marks before and after.
    support: full
requirements: [python3-libvirt]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Give a server that was made by hand to a cloud
  novella.cloud.domain_mark:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    cloud_id: 3f0c0000-0000-4000-8000-000000000000
    from_clouds: [00000000-0000-0000-0000-000000000000]
    name: web1
    flavor: m1.tiny
    project_id: 77777777777777777777777777777777
"""

RETURN = r"""
# Nothing but C(changed) and the diff.
"""

from ..module_utils import domain_mark, work


def main() -> None:
    work.main(domain_mark.ARGUMENT_SPEC, domain_mark.run)


if __name__ == "__main__":
    main()
