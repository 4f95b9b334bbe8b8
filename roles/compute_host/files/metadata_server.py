#!/usr/bin/python3
"""The metadata server of one network on one host: pushed documents, told apart by source address.

It knows nothing of the cloud. It listens on 169.254.169.254:80 inside the network's namespace,
which alone decides who can ask, and answers a guest with what `<documents>/<its address>.json`
holds: {"paths": {path: index}, "bodies": [base64, ...], "password": file name}. It needs no
privilege at all (the namespace lets anybody bind port 80), and trusts no header: X-Forwarded-For
and its like are not even read.

What it writes is one small file for each guest, once: the password that the guest made for itself,
encrypted by its owner's key, which it posts to openstack/latest/password as to Nova's.

Usage: metadata_server.py ADDRESS:PORT DOCUMENTS_FOLDER PASSWORDS_FOLDER
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import os
import re
import socket
import socketserver
import sys
import threading
import time
import urllib.parse
from pathlib import Path

MAX_REQUEST_BYTES = 8192
REQUEST_TIMEOUT_S = 5.0
LINGER_S = 0.5
LINGER_READS = 8
# Nova's: four chunks of 255.
MAX_PASSWORD_BYTES = 1020
PASSWORD_PATH = re.compile(r"/*openstack/(latest|[0-9]{4}-[0-9]{2}-[0-9]{2})/password/*")
PASSWORD_FILE = re.compile(r"[0-9a-f-]{36}\.[0-9]{1,9}")
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
MAX_REQUESTS_AT_ONCE = 128
MAX_REQUESTS_PER_GUEST = 8
# Each has a thread; what a request needs is far below the default of 8 MiB.
STACK_BYTES = 256 * 1024

REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Payload Too Large",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Refused(Exception):
    """A request that gets `status` as its answer."""

    def __init__(self, status: int) -> None:
        super().__init__(REASONS[status])
        self.status = status


def find(documents: dict, path: str) -> bytes | None:
    """Return the document at `path`, or None.

    A folder's listing is a document whose path ends in a slash, and answers with and without it,
    as in Nova; the root's is the empty path.
    """
    wanted = path.strip("/")
    for candidate in (wanted, wanted + "/") if wanted else ("",):
        index = documents["paths"].get(candidate)
        if index is not None:
            return base64.b64decode(documents["bodies"][index])
    return None


def load(folder: str, address: str) -> dict | None:
    """Return the documents of the guest at `address`, or None for one that we do not know."""
    # Parsed and printed again: only a plain address can become a file name.
    name = str(ipaddress.ip_address(address)) + ".json"
    try:
        with Path(folder, name).open(encoding="ascii") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def parse(head: bytes) -> tuple[str, str]:
    """Return method and path of a request's head. Raises Refused(400 or 405)."""
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(400)
    method, target = words[0], words[1]
    if method not in ("GET", "HEAD", "POST"):
        raise Refused(405)
    try:
        path = urllib.parse.unquote(urllib.parse.urlsplit(target).path, errors="strict")
    except ValueError as error:
        raise Refused(400) from error
    if method == "POST" and not PASSWORD_PATH.fullmatch(path):
        raise Refused(405)
    return method, path


def read_head(connection: socket.socket, deadline: float) -> tuple[bytes, bytes]:
    """Return the head of a request and what came behind it. Raises Refused(408 or 431) past the
    time or the size.
    """
    head = b""
    while b"\r\n\r\n" not in head:
        if len(head) >= MAX_REQUEST_BYTES:
            raise Refused(431)
        head += receive(connection, deadline, MAX_REQUEST_BYTES - len(head))
    head, _, rest = head.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def read_body(connection: socket.socket, deadline: float, head: bytes, body: bytes) -> bytes:
    """Return a request's body, of which `body` has come. Raises Refused(400, 408 or 413)."""
    length = CONTENT_LENGTH.search(head)
    if length is None:
        raise Refused(400)
    if int(length[1]) > MAX_PASSWORD_BYTES:
        raise Refused(413)
    while len(body) < int(length[1]):
        body += receive(connection, deadline, int(length[1]) - len(body))
    return body[: int(length[1])]


def receive(connection: socket.socket, deadline: float, most: int) -> bytes:
    # One time for the whole request: a byte a second must not hold a thread for ever.
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise Refused(408)
    connection.settimeout(left_s)
    try:
        received = connection.recv(most)
    except TimeoutError as error:
        raise Refused(408) from error
    if not received:
        raise Refused(400)
    return received


def password_file(folder: str, documents: dict) -> str | None:
    """Return where the guest's password is kept, None for a guest that may not post one."""
    name = documents.get("password")
    return os.path.join(folder, name) if name and PASSWORD_FILE.fullmatch(name) else None


def password_of(path: str) -> bytes:
    """Return the posted password, empty before there is one."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_PASSWORD_BYTES)
    except FileNotFoundError:
        return b""


def keep_password(path: str, password: bytes) -> None:
    """Keep what a guest has posted, once. Raises Refused(400 or 409)."""
    # It is encrypted, and shown as text: base64 in practice.
    if not password or not all(32 <= byte < 127 or byte in b"\r\n\t" for byte in password):
        raise Refused(400)
    partial = f"{path}.{threading.get_ident()}"
    try:
        with open(partial, "wb") as file:
            file.write(password)
        # Whole or not at all, and never over another.
        os.link(partial, path)
    except FileExistsError as error:
        raise Refused(409) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)


def content_type(path: str) -> str:
    return "application/json" if path.endswith(".json") else "text/plain; charset=utf-8"


def answer(status: int, body: bytes, kind: str = "text/plain", with_body: bool = True) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {REASONS[status]}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if status == 405:
        lines.append("Allow: GET, HEAD, POST")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body if with_body else b"")


class Handler(socketserver.BaseRequestHandler):
    """Answers one request and closes."""

    def handle(self) -> None:
        method, path = "GET", ""
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        try:
            head, rest = read_head(self.request, deadline)
            method, path = parse(head)
            documents = load(self.server.folder, self.client_address[0])
            body = find(documents, path) if documents else None
            if documents and PASSWORD_PATH.fullmatch(path):
                body = self.password(method, documents, head, rest, deadline)
            if body is None:
                raise Refused(404)
            reply = answer(200, body, content_type(path), with_body=method != "HEAD")
        except Refused as refused:
            text = f"{REASONS[refused.status]}\n".encode()
            reply = answer(refused.status, text, with_body=method != "HEAD")
        except OSError:
            return
        with contextlib.suppress(OSError):
            send_and_end(self.request, reply)

    def password(
        self, method: str, documents: dict, head: bytes, rest: bytes, deadline: float
    ) -> bytes | None:
        path = password_file(self.server.passwords, documents)
        if path is None:
            return None
        if method != "POST":
            return password_of(path)
        keep_password(path, read_body(self.request, deadline, head, rest))
        return b""


def send_and_end(connection: socket.socket, reply: bytes) -> None:
    """Send `reply` so that it arrives even where the guest still sends what we do not read."""
    connection.settimeout(REQUEST_TIMEOUT_S)
    connection.sendall(reply)
    connection.shutdown(socket.SHUT_WR)
    # Closing with bytes unread would reset the connection, and the reply be lost with it.
    connection.settimeout(LINGER_S)
    for _ in range(LINGER_READS):
        if not connection.recv(MAX_REQUEST_BYTES):
            break


class Server(socketserver.ThreadingTCPServer):
    """A thread for each request, bounded for each guest and in all, and shared out fairly.

    With all threads taken, the guest that has most of them gives its oldest up to one that has
    fewer: to keep others out, an attacker needs as many addresses as there are threads. No request
    lasts longer than its timeouts, however slowly it is sent or read.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], folder: str, passwords: str) -> None:
        self.folder = folder
        self.passwords = passwords
        # The connections of each guest, the oldest first.
        self._busy: dict[str, list[socket.socket]] = {}
        self._lock = threading.Lock()
        super().__init__(address, Handler)

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        """Start a thread, unless that is over the bounds."""
        guest = client_address[0]
        if not self._admit(guest, request):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._leave(guest, request)
            raise

    def process_request_thread(
        self, request: socket.socket, client_address: tuple[str, int]
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(client_address[0], request)

    def _admit(self, guest: str, request: socket.socket) -> bool:
        with self._lock:
            own = self._busy.get(guest, [])
            if len(own) >= MAX_REQUESTS_PER_GUEST:
                return False
            if sum(map(len, self._busy.values())) >= MAX_REQUESTS_AT_ONCE:
                most = max(self._busy.values(), key=len)
                if len(most) <= len(own) + 1:
                    return False
                # Its thread reads the end, or can't write, and closes it.
                with contextlib.suppress(OSError):
                    most.pop(0).shutdown(socket.SHUT_RDWR)
            self._busy.setdefault(guest, []).append(request)
            return True

    def _leave(self, guest: str, request: socket.socket) -> None:
        with self._lock:
            own = self._busy.get(guest, [])
            if request in own:
                own.remove(request)
            if not own:
                self._busy.pop(guest, None)

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:
        # One line and no traceback of a tenant's making.
        del request
        sys.stderr.write(f"request of {client_address[0]} failed: {sys.exc_info()[1]!r}\n")


def main() -> None:
    if len(sys.argv) != 4 or ":" not in sys.argv[1]:
        sys.exit(__doc__)
    host, port = sys.argv[1].rsplit(":", 1)
    threading.stack_size(STACK_BYTES)
    with Server((host, int(port)), sys.argv[2], sys.argv[3]) as server:
        server.serve_forever(poll_interval=3600)


if __name__ == "__main__":
    main()
