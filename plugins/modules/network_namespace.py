#!/usr/bin/python3
from __future__ import annotations
DOCUMENTATION = r"""
module: network_namespace
short_description: placeholder
"""
from ..module_utils import network_namespace, work


def main() -> None:
    work.main(network_namespace.ARGUMENT_SPEC, network_namespace.run, network_namespace.SPEC_RULES)


if __name__ == "__main__":
    main()
