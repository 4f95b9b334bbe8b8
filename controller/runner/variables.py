"""Variables on their way to Ansible: the one function that writes all arguments.

Tenant text is data. Ansible templates every string of `-e @file`, unless it is tagged `!unsafe`;
`{{ 7*7 }}` as a server's name would become 49, and `{{ lookup('pipe', ...) }}` a command on the
controller. So everything is tagged here, whoever it came from.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# All but plain ASCII is written as an escape: YAML allows fewer raw characters than JSON.
_ESCAPED = re.compile(r"[^ !#-\[\]-~]")
# What is written here, piece by piece: a string's quote stands at its ends alone.
_MARK = "!unsafe "
_STRUCTURE = re.compile(r"[][{}:, 0-9A-Za-z.+-]*")
_CONTENT = re.compile(r"(?:[ !#-\[\]-~]|\\U[0-9a-f]{8})*")
_WRITTEN_ESCAPE = re.compile(r"\\U([0-9a-f]{8})")


def write_variables(path: Path, variables: Mapping[str, Any]) -> None:
    """Write `variables` to a new file of mode 0600, marked unsafe as a whole.

    Takes what JSON takes: None, bool, int, float, str, lists and mappings of these. Mapping keys
    are not templated by Ansible, and so not tagged. Raises TypeError for anything else.
    """
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(unsafe_yaml(variables) + "\n", encoding="ascii")


def unsafe_yaml(variables: Mapping[str, Any]) -> str:
    """Return `variables` as one line of flow YAML, a document that Ansible trusts no string of."""
    # The mark goes on the whole. On a string Ansible resolves the type anew, quoted or not: a
    # server named 123 or yes would come to its host as a number or a truth value.
    return f"{_MARK}{_flow(variables)}"


def read_unsafe_yaml(text: str) -> dict[str, Any] | None:
    """Return what `unsafe_yaml` made `text` of; None for what it can't have written.

    A parser of YAML takes fifteen times as long. The strings bear no mark of Ansible's at all,
    which is what makes it trust none of them.
    """
    if not text.startswith(_MARK):
        return None
    pieces = text.removeprefix(_MARK).strip().split('"')
    between, contents = [each.replace("? ", "") for each in pieces[::2]], pieces[1::2]
    if not (all(map(_STRUCTURE.fullmatch, between)) and all(map(_CONTENT.fullmatch, contents))):
        return None
    pieces[::2] = between
    try:
        pieces[1::2] = [_WRITTEN_ESCAPE.sub(_as_json, each) for each in contents]
        found = json.loads('"'.join(pieces), parse_constant=_refuse)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _flow(value: Any) -> str:
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value, allow_nan=False)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        # `? key` because YAML bounds keys without the mark to 1024 characters, escapes included.
        pairs = (f"? {_quoted(_text(key))} : {_flow(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_flow(each) for each in value)}]"
    raise TypeError(f"Cannot pass a {type(value).__name__} to a playbook: {value!r}.")


def _text(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"Cannot pass the key {key!r} to a playbook: it is no string.")
    return key


def _quoted(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    # Half of a surrogate pair is no character; it can't be written to any file as UTF-8.
    return f"\\U{0xFFFD if 0xD800 <= code <= 0xDFFF else code:08x}"


def _as_json(match: re.Match[str]) -> str:
    return json.dumps(chr(int(match[1], 16)))[1:-1]


def _refuse(constant: str) -> float:
    raise ValueError(constant)
