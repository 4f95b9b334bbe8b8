#!/usr/bin/python
"""Set a password inside a guest; the work is module_utils/guest_password.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: guest_password
short_description: Set a user's password inside a running guest
description:
  - The QEMU guest agent sets it. Without one that answers the module fails and nothing has changed.
  - It always changes something, as nobody can read whether the password was the same.
options:
  user:
    description: Whose password; C(root) or what a Windows guest has.
    type: str
    default: root
  password:
    description: The password.
    type: str
    required: true
extends_documentation_fragment:
  - novella.cloud.domain
  - novella.cloud.domain.owner
  - novella.cloud.libvirt
attributes:
  check_mode:
    description: Looks for the running guest and sets nothing.
    support: full
  diff_mode:
    description: Says that it was done.
    support: full
requirements: [python3-libvirt]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Set the password of root
  novella.cloud.guest_password:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    password: "{{ admin_pass }}"
"""

RETURN = r"""
# Nothing but C(changed), which is always true.
"""

from ..module_utils import guest_password, work


def main() -> None:
    work.main(guest_password.ARGUMENT_SPEC, guest_password.run)


if __name__ == "__main__":
    main()
