"""Keep a module's archive on the host, unpacked and compiled, under the hash of its content.

Ansible sends a module's whole archive with each task. The host's Python reads it from its standard
input byte by byte, and compiles it: half a second of CPU for `apply` (ADR 0006). Here the arguments
alone go over once the host has the archive. What runs, and as what, is the same.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import json
import re
import shlex
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.novella.cloud.plugins.plugin_utils import head_start

# (command, data for its standard input) to {"rc", "stdout", "stderr", ...}.
Execute = Callable[[str, bytes], dict[str, Any]]

# The call that ends the program which Ansible builds around a module. Its arguments are Python
# literals, each on a line of its own; the archive is by far the longest, and none to be parsed.
_CALL = b"\n    _ansiballz_main(\n"
_ARCHIVE = re.compile(rb"(?<=\n)zip_data='([A-Za-z0-9+/=]*)',\n")
_TAKEN = frozenset({"module_fqn", "params", "profile", "extensions", "rlimit_nofile"})
# What was worked out before, by the hash of the zip file: in the fork server, for all its runs.
_keys: dict[bytes, str] = {}
# All of what comes first on standard input is the program, the rest is what it is to do.
_START = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"


@dataclass(frozen=True)
class Module:
    """A module with its arguments. `archive` is a zip file in base64, `key` names its content."""

    name: str
    params: str
    profile: str
    archive: str
    key: str


def taken_from(program: bytes) -> Module | None:
    """Return the module in a program that Ansible built; None for a program of any other form.

    None also for what is run otherwise: under a debugger, or with a limit of open files.
    """
    _, call, arguments = program.rpartition(_CALL)
    archives = _ARCHIVE.findall(arguments)
    if not call or len(archives) != 1:
        return None
    archive = archives[0].decode()
    try:
        parsed = ast.parse(b"call(\n" + _ARCHIVE.sub(b"", arguments), mode="eval").body
        found = {
            keyword.arg: ast.literal_eval(keyword.value)
            for keyword in getattr(parsed, "keywords", ())
            if keyword.arg in _TAKEN
        }
        if found.keys() != _TAKEN or found["extensions"] or found["rlimit_nofile"]:
            return None
        key = key_of(archive)
    except (SyntaxError, ValueError, zipfile.BadZipFile):
        return None
    return Module(found["module_fqn"], found["params"], found["profile"], archive, key)


def run(execute: Execute, interpreter: str, module: Module, folder: str) -> dict[str, Any]:
    """Run the module out of `folder` on the host, and return what `execute` does.

    The archive is sent when the host answers that it lacks it. `interpreter` is the shell's word
    for Python. What was started ahead for this is used, if it was.
    """
    program = Path(__file__).with_name("module_keeper.py").read_bytes()
    command = f"{interpreter} -c {shlex.quote(_START)} {len(program)}"
    request = {
        "folder": folder, "key": module.key, "module": module.name,
        "params": module.params, "profile": module.profile,
    }  # fmt: skip
    head_start.note(module.key)
    ahead = {"interpreter": interpreter, "folder": folder, "key": module.key}
    if (early := head_start.run(ahead, json.dumps(request))) is not None:
        return early
    answer = execute(command, program + json.dumps(request).encode())
    # Some shells greet whoever comes.
    if f"lacking {module.key}" in answer.get("stdout", "").splitlines():
        request["archive"] = module.archive
        answer = execute(command, program + json.dumps(request).encode())
    return answer


def key_of(archive: str) -> str:
    """Return the hash of the names and contents; the zip file itself has times in it."""
    own = hashlib.sha256(archive.encode()).digest()
    if own not in _keys:
        _keys[own] = _content_hash(archive)
    return _keys[own]


def _content_hash(archive: str) -> str:
    digest = hashlib.sha256()
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as opened:
        for name in sorted(opened.namelist()):
            content = opened.read(name)
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
