"""Spare Ansible's runs the copies of what nobody can change.

Ansible marks each text that it reads with where it was and whether it is a template, and copies its
variables as a whole again and again: all of them for each server whose template is looked up. Of a
marked text, as of a plain one, the copy may be the text itself; Python knows that only of its own.
"""

from typing import Any


def spare() -> None:
    """Have marked texts, numbers and the marks themselves be their own copies. Call once, with
    Ansible imported.
    """
    from ansible.module_utils._internal import _datatag as marked

    def itself(self: Any, _memo: dict[int, Any]) -> Any:
        return self

    for kind in (
        marked._AnsibleTaggedStr,
        marked._AnsibleTaggedInt,
        marked._AnsibleTaggedFloat,
        # The marks are frozen, and a value's set of them is shared by all that were read with it.
        marked.AnsibleDatatagBase,
        marked._AnsibleTagsMapping,
    ):
        kind.__deepcopy__ = itself
