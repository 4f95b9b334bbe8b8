#!/usr/bin/python
"""Bring a server's folder: module_utils/pulled_directory.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pulled_directory
short_description: Bring a server's folder from where it was set aside
description:
  - Copies the files of a server into its folder on this host, byte by byte, with their holes; from
    another host's export (M(novella.cloud.moved_directory)), or from this host's own folder that
    was set aside.
  - A file that is there is left alone.
options:
  address:
    description: The other host's address. Without it the files are on this host.
    type: str
  port:
    description: The port of the export. Required with O(address).
    type: int
  files:
    description: The files to have. None are all that this host has set aside.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the file.
        type: str
        required: true
      size_bytes:
        description: Its size.
        type: int
        required: true
  timeout_s:
    description: Seconds that the copy of one file may take.
    type: int
    default: 14400
extends_documentation_fragment:
  - novella.cloud.server
  - novella.cloud.host
  - novella.cloud.attributes.changes
  - novella.cloud.attributes.shows
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Bring a server's disk from another host
  novella.cloud.pulled_directory:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    address: 192.0.2.11
    port: 49216
    files:
      - {name: disk, size_bytes: 1073741824}
"""

RETURN = r"""
copied_bytes:
  description: Sum of the sizes of the files that were copied.
  returned: success
  type: int
  sample: 1073741824
"""

from ..module_utils import pulled_directory, work


def main() -> None:
    work.main(pulled_directory.ARGUMENT_SPEC, pulled_directory.run, pulled_directory.SPEC_RULES)


if __name__ == "__main__":
    main()
