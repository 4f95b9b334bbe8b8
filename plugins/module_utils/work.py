"""What the work functions behind our modules share.

A module's work is `run(params, check_mode) -> dict` in `module_utils/<noun>.py`. It runs in two
places: behind its own thin module (`main` below) and as a step inside the module `apply`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

UUID_RE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

# The tools are found here whatever PATH the SSH session was given.
TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

LOCK_POLL_S = 0.05


class WorkError(Exception):
    """Work that was refused or failed: what, on what, why, and the way out.

    `details` are handed back beside the message (for example `missing_base`).
    """

    def __init__(self, msg: str, **details: Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.details = details


def main(
    argument_spec: dict[str, Any],
    run: Callable[[dict[str, Any], bool], dict[str, Any]],
    spec_rules: dict[str, Any] | None = None,
) -> None:
    """Run `run` as an Ansible module: validated parameters in, exit_json or fail_json out.

    `spec_rules` is AnsibleModule's mutually_exclusive, required_if, required_together, ...
    """
    # Imported here: `apply` uses this file too, and other callers need no AnsibleModule.
    from ansible.module_utils.basic import AnsibleModule

    module = AnsibleModule(
        argument_spec=argument_spec, supports_check_mode=True, **(spec_rules or {})
    )
    try:
        result = run(module.params, module.check_mode)
    except WorkError as error:
        module.fail_json(msg=error.msg, **error.details)
    # What undoes a step is of use to `apply` alone.
    result.pop("undo_args", None)
    module.exit_json(**result)


def run_command(
    argv: list[str],
    input: str | None = None,  # noqa: A002 - the name that subprocess gives it
    timeout: float = 120,
    ok_codes: Collection[int] = (0,),
    environment: dict[str, str] | None = None,
) -> str:
    """Return the standard output of `argv`, run without a shell and with LC_ALL=C.

    `timeout` is in seconds. Raises WorkError when the program is not there, takes too long, or
    ends with a code that is not in `ok_codes`; its details are `rc` and `stderr`.
    """
    env = {"PATH": TOOL_PATH, "LC_ALL": "C", "HOME": "/", **(environment or {})}
    # Without input the child reads nothing: the module's own stdin belongs to Ansible.
    stdin = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=timeout, env=env,
            check=False, **stdin,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise WorkError(
            f"Cannot run {argv[0]}: it is not installed on this host. Enrol the host again "
            "(playbooks/host_enroll.yml) to install what it needs.",
            rc=127,
        ) from error
    except subprocess.TimeoutExpired as error:
        raise WorkError(
            f"Gave up on '{' '.join(argv)}': it did not end within {timeout} s.", rc=124
        ) from error
    if done.returncode not in ok_codes:
        why = done.stderr.strip() or done.stdout.strip() or "it said nothing"
        raise WorkError(
            f"'{' '.join(argv)}' failed with code {done.returncode}: {why}",
            rc=done.returncode,
            stderr=done.stderr,
        )
    return done.stdout


def run_commands(commands: Sequence[tuple[list[str], str | None]]) -> list[str]:
    """Return what each of `commands`, (argv, input), says, as `run_command` runs it.

    They run side by side: what takes long in most of them is the kernel, not the processor. Raises
    the first one's WorkError, when all have ended.
    """
    said: list[str | WorkError] = [""] * len(commands)

    def run(number: int) -> None:
        try:
            said[number] = run_command(commands[number][0], input=commands[number][1])
        except WorkError as error:
            said[number] = error

    # The first is this thread's own.
    threads = [threading.Thread(target=run, args=(each,)) for each in range(1, len(commands))]
    for thread in threads:
        thread.start()
    if commands:
        run(0)
    for thread in threads:
        thread.join()
    for text in said:
        if isinstance(text, WorkError):
            raise text
    return [text for text in said if isinstance(text, str)]


def read_file(path: str) -> str | None:
    """Return the text of `path`, or None when there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_file(
    path: str,
    content: str,
    mode: int = 0o644,
    gid: int | None = None,
    check_mode: bool = False,
) -> bool:
    """Make `path` hold `content` with `mode` (and group `gid`); return whether that is a change.

    Atomic: a reader sees the old file or the new one. The folder must be there already (in check
    mode it need not). Raises WorkError when the disk is full or the folder is away.
    """
    if _is_file_as_wanted(path, content, mode, gid):
        return False
    if check_mode:
        return True
    try:
        _replace_file(path, content, mode, gid)
    except OSError as error:
        raise WorkError(f"Cannot write {path}: {error.strerror}.", errno=error.errno) from error
    return True


def _is_file_as_wanted(path: str, content: str, mode: int, gid: int | None) -> bool:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if status.st_mode & 0o7777 != mode or (gid is not None and status.st_gid != gid):
        return False
    return read_file(path) == content


def _replace_file(path: str, content: str, mode: int, gid: int | None) -> None:
    folder, name = os.path.split(path)
    descriptor, partial = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            if gid is not None:
                os.fchown(file.fileno(), -1, gid)
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise


def remove_file(path: str, check_mode: bool = False) -> bool:
    """Remove `path`; return whether it was there."""
    if not os.path.lexists(path):
        return False
    if not check_mode:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    return True


def text_diff(what: str, before: str, after: str) -> dict[str, str]:
    """Return one entry of a result's `diff`; `what` names the thing in both headers."""
    return {
        "before": before,
        "after": after,
        "before_header": f"{what} (before)",
        "after_header": f"{what} (after)",
    }


@contextlib.contextmanager
def locked(path: str, timeout_s: float | None = None) -> Iterator[int]:
    """Hold the exclusive lock of the file `path`, made (0600) when missing; yield its descriptor.

    The lock is the kernel's (flock), so it ends with the process that holds it. The file is never
    removed. Raises WorkError when another process still holds the lock after `timeout_s`.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, path, timeout_s)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: str, timeout_s: float | None) -> None:
    if timeout_s is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if time.monotonic() >= deadline:
            raise WorkError(
                f"Cannot lock {path}: another process has held it for {timeout_s:g} s. "
                "Wait for that run to end, or end it, and run this again.",
                locked=path,
            )
        time.sleep(LOCK_POLL_S)


def check_uuid(value: Any, what: str) -> str:
    """Return `value` when it is a lower-case UUID, so that it may stand in a path or a name.

    Raises WorkError naming `what` otherwise.
    """
    if isinstance(value, str) and UUID_RE.fullmatch(value):
        return value
    raise WorkError(
        f"{what} {value!r} is not a UUID. Give one in lower case, such as "
        "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10."
    )
