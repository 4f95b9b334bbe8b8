#!/usr/bin/python
"""Have a guest's metadata on its host; the work is module_utils/guest_metadata.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: guest_metadata
short_description: Have a guest's metadata served on its host
description:
  - Writes the OpenStack and EC2 documents of a server, once for each of its addresses in a network,
    where the network's metadata server finds them by a request's source address.
  - Nobody but root and that server's group can read them. Diffs show each document's path, size and
    the start of its SHA-256, for documents may hold secrets.
options:
  server:
    description: The server, as the playbooks' C(servers) have it. Needed unless O(state=absent).
    type: dict
  network_id:
    description: The network's UUID. It must be on the host; see M(novella.cloud.network_namespace).
    type: str
    required: true
  ips:
    description: The server's addresses in this network.
    type: list
    elements: str
    required: true
  state:
    description: Whether these addresses are served.
    type: str
    choices: [present, absent]
    default: present
  secrets:
    description: What goes into the documents and no log, C(user_data) in base64.
    type: dict
extends_documentation_fragment:
  - novella.cloud.host
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows paths, sizes and digests.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Push a server's metadata
  novella.cloud.guest_metadata:
    server: "{{ server }}"
    network_id: 0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11
    ips: [10.91.1.100]
    secrets: {user_data: IyEvYmluL3NoCg==}
"""

RETURN = r"""
# Nothing but what every module returns.
"""

from ..module_utils import guest_metadata, work


def main() -> None:
    work.main(guest_metadata.ARGUMENT_SPEC, guest_metadata.run, guest_metadata.SPEC_RULES)


if __name__ == "__main__":
    main()
