"""Values as TOML writes them, for templates of configuration files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# What JSON leaves as it is and TOML does not allow in a text.
DELETE = "\x7f"


def to_toml(value: Any) -> str:
    """Return `value` in one line of TOML: a text, number, truth value, list or (inline) table.

    Raises AnsibleFilterError for what TOML has no word for, null among it.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return repr(float(value))
    if isinstance(value, Mapping):
        pairs = [f"{_key(key)} = {to_toml(part)}" for key, part in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(to_toml(part) for part in value)}]"
    raise AnsibleFilterError(
        f"Cannot write {value!r} ({type(value).__name__}) as TOML. Give a text, a number, true or "
        "false, a list or a mapping; leave out what has no value."
    )


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise AnsibleFilterError(f"Cannot write {value!r} as TOML: {error.reason}.") from error
    return json.dumps(value, ensure_ascii=False).replace(DELETE, "\\u007f")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise AnsibleFilterError(f"Cannot write the key {key!r} as TOML: keys are texts. Quote it.")
    return str(key) if BARE_KEY.fullmatch(key) else _text(key)


class FilterModule:
    def filters(self) -> dict[str, Callable[[Any], str]]:
        return {"to_toml": to_toml}
