#!/usr/bin/python
"""Set the folder of a server that is moving aside: module_utils/moved_directory.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: moved_directory
short_description: Set the folder of a server that is moving aside
description:
  - Renames C(<state_path>/instances/<server_id>) to C(<server_id>_resize), or back.
  - The files can be exported to the one host that they are to be copied to, read-only and under
    TLS, with the credentials of M(novella.cloud.move_credentials).
  - Renaming is refused while the server's QEMU runs.
options:
  state:
    description:
      - V(aside) and V(returned) say where the folder is; V(absent) removes the one set aside.
    type: str
    choices: [aside, returned, absent]
    default: aside
  export_to:
    description: Common name of the certificate that may read the files. None ends the export.
    type: str
  export_address:
    description: Address to export at. Required with O(export_to).
    type: str
  export_ports:
    description: Ports to choose one of, first and last.
    type: str
    default: 49216-49279
extends_documentation_fragment:
  - novella.cloud.server
  - novella.cloud.host
  - novella.cloud.attributes.changes
  - novella.cloud.attributes.shows
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Set the folder aside
  novella.cloud.moved_directory:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    state: aside
"""

RETURN = r"""
export:
  description:
    - Where the files are exported; C(port), C(files) (each C(name) and C(size_bytes)), and
      C(needs_base), whether the root disk stands on its image.
  returned: when exported; in check mode as it would be
  type: dict
"""

from ..module_utils import moved_directory, work


def main() -> None:
    work.main(moved_directory.ARGUMENT_SPEC, moved_directory.run, moved_directory.SPEC_RULES)


if __name__ == "__main__":
    main()
