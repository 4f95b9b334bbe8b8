#!/usr/bin/python
"""Keep a server's config drive; the work is module_utils/config_drive.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: config_drive
short_description: Keep the disk that tells a guest about itself
description:
  - Makes an ISO 9660 disk labelled C(config-2) with the OpenStack and EC2 documents of a server,
    for guests that have no network yet or must learn their first password.
  - It is written again only if the documents changed. A salted digest of them lies beside it
    (C(<path>.sum)).
options:
  path:
    description: The disk, C(<state_path>/instances/<server uuid>/disk.config).
    type: path
    required: true
  state:
    description: Whether the disk is there.
    type: str
    choices: [present, absent]
    default: present
  server:
    description:
      - The server as the playbooks have it (id, name, hostname, flavor, image, guest, networks,
        ports). Needed unless O(state=absent).
    type: dict
  secret:
    description: What is never shown.
    type: dict
    suboptions:
      user_data:
        description: The user data in base64.
        type: str
      admin_pass:
        description: The first password of the administrator.
        type: str
  only_if_missing:
    description: Whether a drive that is there is left alone, whatever is on it.
    type: bool
    default: false
extends_documentation_fragment:
  - novella.cloud.host
attributes:
  check_mode:
    description: Says whether the disk would be written and writes nothing.
    support: full
  diff_mode:
    description: Lists the files and shows the documents, without user data, password and seed.
    support: full
requirements: [genisoimage]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Make the config drive of a server
  novella.cloud.config_drive:
    path: "/var/lib/novella/instances/{{ server.id }}/disk.config"
    server: "{{ server }}"
    secret: "{{ server_secrets[server.id] }}"
  no_log: true
"""

RETURN = r"""
path:
  description: The disk.
  returned: success
  type: str
  sample: /var/lib/novella/instances/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10/disk.config
"""

from ..module_utils import config_drive, work


def main() -> None:
    work.main(config_drive.ARGUMENT_SPEC, config_drive.run, config_drive.SPEC_RULES)


if __name__ == "__main__":
    main()
