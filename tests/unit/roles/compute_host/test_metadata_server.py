"""The metadata server answers by source address, trusts no header, and bounds what it takes."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import select
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from plugins.module_utils import guest_documents, guest_metadata

ROOT = Path(__file__).resolve().parents[4]
SERVER = {
    "id": "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10",
    "name": "{{ 7*7 }}",
    "hostname": "web",
    "guest": {"public_keys": {"mine": "ssh-ed25519 AAAA"}},
}
OTHER_GUEST = ("127.0.0.9", 0)


def load() -> ModuleType:
    path = ROOT / "roles/compute_host/files/metadata_server.py"
    spec = importlib.util.spec_from_file_location("metadata_server", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


metadata_server = load()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, int]]:
    secrets = {"user_data": "IyEvYmluL3NoCg==", "admin_pass": "hush-hush"}
    documents = guest_documents.documents(SERVER, secrets)
    text = guest_metadata.packed(documents, guest_metadata.password_name(SERVER))
    (tmp_path / "127.0.0.1.json").write_text(text)
    passwords = tmp_path / "passwords"
    passwords.mkdir()
    with metadata_server.Server(("127.0.0.1", 0), str(tmp_path), str(passwords)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_address
        server.shutdown()
        thread.join()


def ask(
    address: tuple[str, int],
    path: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    source: tuple[str, int] | None = None,
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*address, timeout=5, source_address=source)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def send(address: tuple[str, int], request: bytes) -> bytes:
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/latest/meta-data/hostname", "web"),
        ("/2009-04-04/meta-data/public-keys/", "0=mine"),
        ("/latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA"),
        ("/openstack/latest/user_data", "#!/bin/sh\n"),
        ("/latest/user-data/", "#!/bin/sh\n"),
        ("/latest/meta%2Ddata/hostname?x=1", "web"),
    ],
)
def test_a_document_is_found_by_its_path(
    address: tuple[str, int], path: str, expected: str
) -> None:
    assert ask(address, path) == (200, expected)


def test_a_folder_is_listed_with_and_without_its_slash(address: tuple[str, int]) -> None:
    assert ask(address, "/openstack") == ask(address, "/openstack/")
    assert "meta_data.json" in ask(address, "/openstack/latest/")[1].splitlines()
    assert "latest" in ask(address, "/")[1].splitlines()


@pytest.mark.parametrize(
    "path", ["/nothing", "/openstack/latest/../../x", "/127.0.0.1.json", "//etc/passwd"]
)
def test_an_unknown_path_is_404(address: tuple[str, int], path: str) -> None:
    assert ask(address, path)[0] == 404


def test_an_address_that_we_do_not_know_gets_nothing(address: tuple[str, int]) -> None:
    assert ask(address, "/openstack/latest/meta_data.json", source=OTHER_GUEST)[0] == 404


def test_no_header_makes_a_guest_another(address: tuple[str, int]) -> None:
    headers = {"X-Forwarded-For": "127.0.0.1", "Host": "127.0.0.1", "X-Instance-ID": SERVER["id"]}
    status, _ = ask(address, "/openstack/", headers=headers, source=OTHER_GUEST)
    assert status == 404


def test_the_admin_password_is_not_served(address: tuple[str, int]) -> None:
    assert "hush-hush" not in ask(address, "/openstack/latest/meta_data.json")[1]


def test_head_has_no_body_and_other_methods_are_refused(address: tuple[str, int]) -> None:
    assert ask(address, "/latest/meta-data/hostname", "HEAD") == (200, "")
    for method in ("PUT", "POST", "DELETE"):
        assert ask(address, "/latest/api/token", method)[0] == 405


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\r\n\r\n", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (b"GET / FTP/1.0\r\n\r\n", b"400"),
        (b"GET /%ff HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://[/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1", b"400"),
        (b"GET /" + b"a" * 9000, b"431"),
        (b"GET http://169.254.169.254/latest/meta-data/hostname HTTP/1.1\r\n\r\n", b"200"),
    ],
)
def test_a_malformed_request_gets_an_answer(
    address: tuple[str, int], request_bytes: bytes, status: bytes
) -> None:
    assert send(address, request_bytes).split(b" ")[1] == status


def test_a_slow_request_ends(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_server, "REQUEST_TIMEOUT_S", 0.1)
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"GET /")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_a_guest_that_holds_connections_does_not_keep_others_out(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []
    try:
        for _ in range(metadata_server.MAX_REQUESTS_PER_GUEST):
            held.append(socket.create_connection(address, timeout=5, source_address=OTHER_GUEST))
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            ask(address, "/openstack/", source=OTHER_GUEST)
        assert ask(address, "/openstack/")[0] == 200
    finally:
        for connection in held:
            connection.close()


def test_guests_that_hold_every_connection_give_some_up_to_others(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four guests once could keep a whole network from its metadata."""
    monkeypatch.setattr(metadata_server, "MAX_REQUESTS_AT_ONCE", 16)
    greedy = [("127.0.0.10", 0), ("127.0.0.11", 0)]
    each = metadata_server.MAX_REQUESTS_PER_GUEST
    held = [
        socket.create_connection(address, timeout=5, source_address=source)
        for source in greedy
        for _ in range(each)
    ]
    try:
        for _ in range(3):
            assert ask(address, "/openstack/")[0] == 200
        # The oldest of the one that had most were ended, and no more than were needed.
        readable, _, _ = select.select(held, [], [], 0)
        assert 1 <= len(readable) <= 3
        assert all(held.index(connection) % each < 3 for connection in readable)
    finally:
        for connection in held:
            connection.close()


def test_a_guest_that_drips_its_request_is_cut_off_at_its_time(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow loris: each byte comes in time, the request never."""
    monkeypatch.setattr(metadata_server, "REQUEST_TIMEOUT_S", 0.3)
    with socket.create_connection(address, timeout=0.02) as connection:
        sent, reply = 0, b""
        while not reply and sent < 1000:
            with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
                connection.sendall(b"a")
                sent += 1
                reply = connection.recv(4096)
    assert reply.startswith(b"HTTP/1.1 408 ")


def test_a_guest_that_does_not_read_its_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metadata_server, "REQUEST_TIMEOUT_S", 0.1)
    server, guest = socket.socketpair()
    with server, guest, pytest.raises(TimeoutError):
        metadata_server.send_and_end(server, bytes(1 << 24))


PASSWORD = "/openstack/latest/password"
CIPHERTEXT = "c2VjcmV0" * 43


def post(
    address: tuple[str, int], body: str, path: str = PASSWORD, source: Any = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*address, timeout=5, source_address=source)
    try:
        connection.request("POST", path, body=body)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_a_guest_posts_its_password_once(address: tuple[str, int], tmp_path: Path) -> None:
    assert ask(address, PASSWORD) == (200, "")
    assert post(address, CIPHERTEXT) == (200, "")
    assert ask(address, PASSWORD) == (200, CIPHERTEXT)
    assert post(address, "another")[0] == 409
    kept = {path.name: path.read_text() for path in (tmp_path / "passwords").iterdir()}
    assert kept == {f"{SERVER['id']}.0": CIPHERTEXT}


@pytest.mark.parametrize(
    ("body", "path", "status"),
    [
        ("x" * 1021, PASSWORD, 413),
        ("", PASSWORD, 400),
        ("a\0b", PASSWORD, 400),
        ("a\x1b[2J", PASSWORD, 400),
        ("x", "/openstack/latest/meta_data.json", 405),
        ("x", "/openstack/latest/../password", 405),
    ],
)
def test_what_is_no_password_is_refused(
    address: tuple[str, int], tmp_path: Path, body: str, path: str, status: int
) -> None:
    assert post(address, body, path)[0] == status
    assert list((tmp_path / "passwords").iterdir()) == []


def test_the_longest_password_fits_and_is_kept_whole(address: tuple[str, int]) -> None:
    assert post(address, "x" * 1020)[0] == 200
    assert ask(address, "/openstack/2013-10-17/password") == (200, "x" * 1020)


def test_a_password_without_its_length_is_refused(address: tuple[str, int]) -> None:
    reply = send(address, f"POST {PASSWORD} HTTP/1.1\r\n\r\nx".encode())
    assert reply.startswith(b"HTTP/1.1 400 ")


def test_an_unknown_guest_keeps_nothing(address: tuple[str, int], tmp_path: Path) -> None:
    assert post(address, "x", source=OTHER_GUEST)[0] == 404
    assert list((tmp_path / "passwords").iterdir()) == []
