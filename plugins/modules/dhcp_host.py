#!/usr/bin/python3
from __future__ import annotations
DOCUMENTATION = r"""
module: dhcp_host
short_description: placeholder
"""
from ..module_utils import dhcp_host, work


def main() -> None:
    work.main(dhcp_host.ARGUMENT_SPEC, dhcp_host.run, dhcp_host.SPEC_RULES)


if __name__ == "__main__":
    main()
