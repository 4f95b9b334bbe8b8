#!/usr/bin/python3
from __future__ import annotations
DOCUMENTATION = r"""
module: guest_metadata
short_description: placeholder
"""
from ..module_utils import guest_metadata, work


def main() -> None:
    work.main(guest_metadata.ARGUMENT_SPEC, guest_metadata.run, guest_metadata.SPEC_RULES)


if __name__ == "__main__":
    main()
