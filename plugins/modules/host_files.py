#!/usr/bin/python
"""Have a host's folders and files in one go; the work is module_utils/host_files.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Have folders and small files on a host in one go
description:
  - Makes folders, writes files and removes what must not be there, in one execution on the host
    rather than one for each.
  - All belongs to the user that the module runs as, which is root.
options:
  folders:
    description: Folders to have, in this order; missing ones above are made with mode 0755.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The whole path. A link to a folder is one.
        type: path
        required: true
      mode:
        description: Its permissions in octal, such as V(0711).
        type: str
        default: "0755"
  files:
    description: Files to have. Each is replaced as a whole; its folder must be there.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The whole path.
        type: path
        required: true
      content:
        description: Its text.
        type: str
        required: true
      mode:
        description: Its permissions in octal.
        type: str
        default: "0644"
  absent:
    description: Files and links that must not be there, as patterns of the shell. Never folders.
    type: list
    elements: path
    default: []
extends_documentation_fragment:
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows permissions and contents before and after.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have the folder of our settings, and a file in it
  novella.cloud.host_files:
    folders:
      - {path: /etc/example, mode: "0711"}
    files:
      - {path: /etc/example/settings, content: "a = 1\n"}
    absent: [/etc/example/*.old]
"""

RETURN = r"""
paths:
  description: What changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/example/settings]
"""

from ..module_utils import host_files, work


def main() -> None:
    work.main(host_files.ARGUMENT_SPEC, host_files.run)


if __name__ == "__main__":
    main()
