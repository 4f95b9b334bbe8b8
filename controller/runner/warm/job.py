"""A run in the fork server: a monitor that its client talks to, and below it the run itself.

    server (accepts, forks, keeps nothing)
      monitor (one for each client; reads the request, which the server never sees)
        run   (ansible-playbook, in a session of its own)
          its workers, ssh, local modules

The run lives as long as its client. When the connection closes before the run's end the monitor
kills all below it; when the monitor itself is killed the kernel kills the run and its workers. The
server may be restarted meanwhile: a run that is under way doesn't need it.
"""

import atexit
import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.runner import bounds
from controller.runner.warm import client, isolation, processes
from controller.runner.warm.fingerprint import Fingerprint
from controller.runner.warm.isolation import Job

# The monitor's exit status, for the server to know what to do.
SERVED, STALE = 0, 3
# A client sends its request at once; one that doesn't is stuck.
REQUEST_S = 10.0
REQUEST_MAX = 8 << 20


@dataclass(frozen=True)
class Warm:
    """What the server has ready: see preload and isolation for `placeholders` and `archives`."""

    environment: dict[str, str]
    fingerprint: Fingerprint
    placeholders: dict[str, dict[str, Any]]
    archives: Path


class Unfit(Exception):
    """Why a run can't be served; the client runs it plainly."""


def serve(connection: socket.socket, warm: Warm) -> int:
    """Talk to one client until its run has ended, in a process of its own; return its status."""
    connection.settimeout(REQUEST_S)
    try:
        _check_peer(connection)
        job = receive(connection)
        if (changed := warm.fingerprint.changed()) is not None:
            _refuse(connection, f"{changed} has changed since the fork server read it")
            return STALE
        check(job, warm)
        connection.sendall(b"ready\n")
        if connection.recv(3) != b"go\n":
            return SERVED
    except Unfit as error:
        _refuse(connection, str(error))
        return SERVED
    except OSError:
        return SERVED
    processes.adopt_orphans()
    pid = _forked(lambda: _become(job, warm))
    for number in job.files:
        os.close(number)
    _watch(connection, pid)
    return SERVED


def _check_peer(connection: socket.socket) -> None:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    if struct.unpack("3i", credentials)[1] != os.getuid():
        raise Unfit("it is another user's")


def receive(connection: socket.socket) -> Job:
    """Read a request and its files. Raises Unfit for what no client of this version sends."""
    head, files, _flags, _address = socket.recv_fds(connection, len(client.PROTOCOL) + 8, 3)
    if not head.startswith(client.PROTOCOL) or len(files) != 3:
        raise Unfit("the client is of another version")
    length = int.from_bytes(head[len(client.PROTOCOL) :], "big")
    if length > REQUEST_MAX:
        raise Unfit(f"the request is longer than {REQUEST_MAX} bytes")
    content = b""
    while len(content) < length:
        part = connection.recv(length - len(content))
        if not part:
            raise Unfit("the client hung up")
        content += part
    umask, folder, count, *words = map(os.fsdecode, content.split(b"\0"))
    arguments, variables = words[: int(count)], words[int(count) :]
    pairs = (entry.partition("=") for entry in variables)
    environment = {name: value for name, _, value in pairs}
    return Job(arguments, environment, folder, int(umask), files)


def check(job: Job, warm: Warm) -> None:
    """Raise Unfit when the run wants an Ansible that was imported otherwise."""
    wanted, had = isolation.fixed(job.environment), isolation.fixed(warm.environment)
    if wanted != had:
        names = sorted(name for name in wanted | had if wanted.get(name) != had.get(name))
        raise Unfit(f"the run's {', '.join(names)} differs from the fork server's")


def _refuse(connection: socket.socket, why: str) -> None:
    # A client that gave up meanwhile runs it plainly anyway.
    with contextlib.suppress(OSError):
        connection.sendall(f"no {why}".replace("\n", " ").encode(errors="replace") + b"\n")


def _forked(body: Callable[[], int]) -> int:
    """Run `body` in a child, which ends with what it returns; return the child's pid."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        processes.die_with_parent()
        # The parent may have ended before the kernel was asked.
        if os.getppid() == parent:
            status = body()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _become(job: Job, warm: Warm) -> int:
    """Be the run: give up what is the server's, and do what the command ansible-playbook does."""
    os.setsid()
    # Ansible's workers are forks too; programs that they start are not, and end with them or by
    # the monitor.
    os.register_at_fork(after_in_child=processes.die_with_parent)
    gc.enable()
    isolation.take_signals()
    isolation.take_environment(job.environment)
    isolation.take_files(job.files)
    isolation.take_streams()
    isolation.take_display()
    os.umask(job.umask)
    os.chdir(job.folder)
    isolation.take_chance()
    isolation.take_paths(warm.placeholders)
    isolation.take_temporary_folder(warm.archives)
    bounds.take_limits(int(os.environ.get(bounds.FILE_VARIABLE, bounds.FILE_MAX_BYTES)))
    isolation.take_events_folder()
    return play(job.arguments)


def play(arguments: Any) -> int:
    """Run ansible-playbook with `arguments`; return its exit status."""
    from ansible.cli.playbook import PlaybookCLI

    sys.argv = ["ansible-playbook", *arguments]
    try:
        isolation.take_locale()
        PlaybookCLI.cli_executor(sys.argv)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201 -- as Python does
            return 1
        return int(end.code or 0)
    finally:
        atexit._run_exitfuncs()
    return 0


def _watch(connection: socket.socket, pid: int) -> None:
    """Pass signals on to the run until it ends, then tell the client; end it with its client."""
    connection.setblocking(True)
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(ended, select.POLLIN)
    while True:
        ready = {number for number, _ in poll.poll()}
        if ended in ready:
            _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status):
                # It had no time to end what it had started.
                processes.end_descendants()
            with contextlib.suppress(OSError):
                connection.sendall(b"exit %d\n" % os.waitstatus_to_exitcode(status))
            return
        if connection.fileno() in ready:
            try:
                said = connection.recv(4096)
            except OSError:
                said = b""
            if not said:
                processes.end_descendants()
                return
            for line in said.splitlines():
                _pass_on(pid, line)


def _pass_on(pid: int, line: bytes) -> None:
    word, _, number = line.partition(b" ")
    if word == b"signal" and number.isdigit():
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(pid, signal.Signals(int(number)))
