"""gunicorn's worker, for clients that send slower than they need to, and for those that come last.

Its threads read heads and bodies with no time limit at all: eight connections that said a word each
and then nothing, from anybody, would be the last that a server of eight threads talks to. And told
to stop, it lets clients connect whom nobody will answer.
"""

import errno
import socket
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

# So long a request may take to begin with; then what has come counts, up to CREDIT_MAX_S ahead: a
# body of a megabyte has time, and an upload may pause for as long as it was fast before.
GRACE_S = 10.0
BYTES_PER_S = 4096
CREDIT_MAX_S = 120.0
LINGER_S = 0.2


class PacedSocket:
    """A connection whose `recv` fails, as if reset, when its client falls behind the pace."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def setblocking(self, flag: bool) -> None:
        """Begin a request (True), or leave the connection to the poller (False)."""
        # The long one is for the answer: who takes nothing of it for so long is gone.
        self._until = time.monotonic() + GRACE_S if flag else None
        self._connection.settimeout(CREDIT_MAX_S if flag else 0.0)

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self._until is None:
            return self._connection.recv(size, flags)
        # What is there already is taken: it may be us who were slow, writing an upload to a disk.
        left = max(self._until - time.monotonic(), 0.001)
        allowed = self._connection.gettimeout()
        self._connection.settimeout(left if allowed is None else min(allowed, left))
        try:
            received = self._connection.recv(size, flags)
        except TimeoutError as error:
            # What gunicorn takes in silence: no line in the log for each client that stalls.
            raise ConnectionResetError(errno.ECONNRESET, "the client sends too slowly") from error
        finally:
            self._connection.settimeout(allowed)
        earned = self._until + len(received) / BYTES_PER_S
        self._until = min(earned, time.monotonic() + CREDIT_MAX_S)
        return received

    def shutdown(self, how: int) -> None:
        """Say that no more will be sent. gunicorn's one main thread then waits for the client."""
        self._until = time.monotonic() + LINGER_S
        self._connection.shutdown(how)


class PacedWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gthread worker with paced connections, and an end that cuts nobody off."""

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            self._close_listeners()

    def _close_listeners(self) -> None:
        """Take in who is connected already, and let nobody else in.

        gunicorn keeps them open until the last request in hand has ended. Who connects meanwhile is
        let wait, and then cut off; refused at once, a client or balancer goes to another API.
        """
        for listener in self.sockets:
            taken_in = -1
            while taken_in != self.nr_conns:
                taken_in = self.nr_conns
                self.accept(listener)
            listener.close()
        self.sockets: list[Any] = []

    def enqueue_req(self, conn: Any) -> None:
        if not isinstance(conn.sock, PacedSocket):
            conn.sock = PacedSocket(conn.sock)
        super().enqueue_req(conn)
