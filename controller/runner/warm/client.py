"""`ansible-playbook` by the fork server, or the plain one when that can't be.

Started by ansible-runner once for each run, as `python -I -S client.pyc ARGUMENTS`. It imports
nothing but built-in modules: the standard library's `socket`, `signal` and `json` would double the
time that it takes to start.

Asks the server at $NOVELLA_FORK_SERVER, hands over arguments, environment, folder, umask and the
three standard files, waits and ends as the run ended. When the server is away, slow or refuses,
nothing has been started yet and the plain ansible-playbook takes this process's place. Which of the
two it was, and why, is written to $NOVELLA_LAUNCH.

The words of the conversation (each line ends with a newline):
    client: PROTOCOL, the length of the request in 8 bytes, the request (see `request`)
    server: "ready", or "no WHY"
    client: "go" (without it nothing starts: a client that gave up is never served late)
    client: "signal N", any number of times
    server: "exit STATUS", negative for a signal
When the client is gone the connection closes, and the server ends all that it had started.
"""

import _signal
import _socket
import posix
import select
import sys

PROTOCOL = b"novella-warm 1\n"
# How long the server may take to say that it is ready; a plain start takes about as long.
READY_S = 2.0
FORWARDED = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM, _signal.SIGUSR1)
# The run's end is not known: the server's half of it died.
LOST = 250


class Refused(Exception):
    """Why the run is not for the server."""


def main() -> int:
    arguments = [word.encode(errors="surrogateescape") for word in sys.argv[1:]]
    try:
        connection = opened(posix.environ.get(b"NOVELLA_FORK_SERVER", b""))
        converse(connection, arguments)
    except (Refused, OSError) as error:
        note(f"cold {error}")
        return plain(arguments)
    note("warm")
    return followed(connection)


def opened(path: bytes) -> _socket.socket:
    """Return a connection to the server, which is ours: what it is handed are secrets."""
    if not path:
        raise Refused("no fork server is set")
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(READY_S)
    try:
        connection.connect(path)
    except OSError as error:
        raise Refused(f"the fork server is away ({error.strerror or error})") from error
    credentials = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    if int.from_bytes(credentials[4:8], sys.byteorder) != posix.getuid():
        raise Refused("the fork server is another user's")
    return connection


def request(arguments: list[bytes]) -> bytes:
    """Return umask, folder, the number of arguments, the arguments and NAME=VALUE, all by NUL."""
    umask = posix.umask(0o077)
    posix.umask(umask)
    variables = [name + b"=" + value for name, value in posix.environ.items()]
    fields = [b"%d" % umask, posix.getcwdb(), b"%d" % len(arguments), *arguments, *variables]
    return b"\0".join(fields)


def converse(connection: _socket.socket, arguments: list[bytes]) -> None:
    """Have the server start the run. Raises Refused or OSError; then nothing was started."""
    content = request(arguments)
    files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    head = PROTOCOL + len(content).to_bytes(8, "big")
    connection.sendmsg([head], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
    connection.sendall(content)
    answer = b""
    try:
        while not answer.endswith(b"\n"):
            part = connection.recv(4096)
            if not part:
                raise Refused("the fork server hung up")
            answer += part
    except TimeoutError as error:
        raise Refused(f"the fork server did not answer within {READY_S:g} s") from error
    if answer != b"ready\n":
        raise Refused(answer.decode(errors="replace").strip().removeprefix("no "))
    connection.sendall(b"go\n")


def followed(connection: _socket.socket) -> int:
    """Wait for the run's end and end likewise; signals that come meanwhile are passed on."""

    def pass_on(number: int, _frame: object) -> None:
        connection.send(b"signal %d\n" % number)

    for number in FORWARDED:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, pass_on)
    connection.settimeout(None)
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    # Nobody reads our output any more: who started us is dead, and with us goes the run.
    poll.register(1, 0)
    answer = b""
    while not answer.endswith(b"\n"):
        for number, _ in poll.poll():
            part = connection.recv(4096) if number == connection.fileno() else b""
            if not part:
                return LOST
            answer += part
    status = int(answer.split()[1])
    if status < 0:
        if -status != _signal.SIGKILL:
            _signal.signal(-status, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -status)
    return status


def plain(arguments: list[bytes]) -> int:
    """Become the plain ansible-playbook; return only when there is none."""
    words = [b"ansible-playbook", *arguments]
    for folder in posix.environ.get(b"PATH", b"").split(b":"):
        try:
            posix.execve(folder + b"/ansible-playbook", words, posix.environ)
        except (FileNotFoundError, NotADirectoryError):
            continue
    sys.stderr.write("ansible-playbook is not in PATH\n")
    return 127


def note(text: str) -> None:
    path = posix.environ.get(b"NOVELLA_LAUNCH")
    if path:
        descriptor = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o600)
        posix.write(descriptor, text.encode(errors="replace"))
        posix.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
