"""The names of what is made on a host, for templates: see module_utils/names.py."""

from __future__ import annotations

from collections.abc import Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.novella.cloud.plugins.module_utils import names


def _explained(function: Callable[[str], str]) -> Callable[[str], str]:
    def name_of(identifier: str) -> str:
        try:
            return function(identifier)
        except ValueError as error:
            raise AnsibleFilterError(f"Cannot name it on the host: {error}.") from error

    return name_of


class FilterModule:
    def filters(self) -> dict[str, Callable[[str], str]]:
        return {
            "bridge_name": _explained(names.bridge_name),
            "tap_name": _explained(names.tap_name),
        }
