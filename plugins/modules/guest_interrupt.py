#!/usr/bin/python
"""Interrupt a guest; the work is module_utils/guest_interrupt.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: guest_interrupt
short_description: Send a running guest a non-maskable interrupt
description:
  - A guest that was set up for it dumps its kernel's memory, and starts again; others say so on
    their console or do nothing.
  - It always changes something.
extends_documentation_fragment:
  - novella.cloud.domain
  - novella.cloud.domain.owner
  - novella.cloud.libvirt
attributes:
  check_mode:
    description: Looks for the running guest and sends nothing.
    support: full
  diff_mode:
    description: Says that it was done.
    support: full
requirements: [python3-libvirt]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have a guest that hangs dump its memory
  novella.cloud.guest_interrupt:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
"""

RETURN = r"""
# Nothing but C(changed), which is always true.
"""

from ..module_utils import guest_interrupt, work


def main() -> None:
    work.main(guest_interrupt.ARGUMENT_SPEC, guest_interrupt.run)


if __name__ == "__main__":
    main()
