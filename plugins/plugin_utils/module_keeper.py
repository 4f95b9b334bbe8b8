"""What `kept_modules` has the host's Python do: run a module out of its unpacked archive.

It is read from standard input, with a line of JSON behind it: folder, key, module, params, profile,
and archive (a zip file in base64) when the host said that it lacks the one with that key. A first
line with `imports` comes before there is a task: folder, key, and what to import meanwhile.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import sys
import time
from typing import Any

# What nobody ran for so long is removed when another archive comes. A run may take hours.
KEPT_S = 7 * 86400


def main() -> None:
    """Run the module, or print `lacking KEY`. The module ends the process."""
    request = json.loads(sys.stdin.buffer.readline())
    # Each version of Python has a compiled form of its own.
    home = os.path.join(request["folder"], f"{request['key']}-{sys.implementation.cache_tag}")
    if "imports" in request:
        line = _made_ready(request, home)
        if not line:
            return
        request = json.loads(line)
    if not os.path.isdir(home):
        if "archive" not in request:
            print(f"lacking {request['key']}")  # noqa: T201 -- the answer
            return
        _unpack(request["archive"], request["folder"], home)
    _note_use(home)
    _take_path(home)
    _run(request, home)


def _made_ready(head: dict[str, Any], home: str) -> bytes:
    """Import, say that it is done, and return the request; an empty one when none will come."""
    if not os.path.isdir(home):
        return b""
    _take_path(home)
    for name in head["imports"]:
        # A host without libvirt is told of it by the step that needs it.
        with contextlib.suppress(ImportError):
            __import__(name)
    print(f"ready {head['key']}", flush=True)  # noqa: T201 -- the answer
    return sys.stdin.buffer.readline()


def _take_path(home: str) -> None:
    # As the program does that Ansible builds around a module.
    try:
        os.getcwd()
    except OSError:
        os.chdir("/")
    if home not in sys.path:
        sys.path[:] = [home, *(path for path in sys.path if path not in ("", "."))]
    # All that is compiled was written with the archive; half a file would be left by a power cut.
    sys.dont_write_bytecode = True


def _run(request: dict[str, Any], home: str) -> None:
    from ansible.module_utils._internal._ansiballz import _loader

    try:
        _loader.run_module(
            json_params=request["params"].encode(),
            profile=request["profile"],
            module_fqn=request["module"],
            modlib_path=home,
            extensions={},
        )
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            _end(end.code or 0)
        raise


def _end(status: int) -> None:
    """End as Python does, but for taking all that was imported apart: 40 ms."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _note_use(home: str) -> None:
    if os.stat(home).st_mtime < time.time() - KEPT_S / 7:
        os.utime(home)


def _unpack(archive: str, folder: str, home: str) -> None:
    """Put the archive's files and their compiled forms at `home`, whole or not at all."""
    import base64
    import io
    import py_compile
    import shutil
    import tempfile
    import zipfile

    umask = os.umask(0o077)
    try:
        os.makedirs(folder, exist_ok=True)
        _age(folder)
        new = tempfile.mkdtemp(prefix="new-", dir=folder)
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as opened:
            opened.extractall(new)
        for path in [os.path.join(at, name) for at, _, names in os.walk(new) for name in names]:
            _write_through(path)
            if path.endswith(".py"):
                shown = os.path.join(home, os.path.relpath(path, new))
                mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
                compiled = py_compile.compile(
                    path, dfile=shown, doraise=True, invalidation_mode=mode
                )
                _write_through(str(compiled))
        try:
            os.rename(new, home)
        except OSError:
            # Another run was quicker.
            shutil.rmtree(new, ignore_errors=True)
            if not os.path.isdir(home):
                raise
    finally:
        os.umask(umask)


def _age(folder: str) -> None:
    import shutil

    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        # Another run that unpacks may have moved it to its place meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_mtime < time.time() - KEPT_S:
                shutil.rmtree(path, ignore_errors=True)


def _write_through(path: str) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


if __name__ == "__main__":
    main()
