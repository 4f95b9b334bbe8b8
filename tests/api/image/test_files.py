"""The bytes of images: upload, download, and what is refused."""

import hashlib
import os
import struct
import tracemalloc
from dataclasses import replace
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from controller.api.common.calls import Services
from controller.core import image_store, images
from controller.db.models import Image
from controller.settings import Settings
from tests.api.conftest import Caller

IMAGES = "/image/v2/images"
BYTES = "application/octet-stream"
RAW = os.urandom(3 << 20)


def qcow2(
    virtual_size: int = 1 << 30,
    *,
    version: int = 3,
    backing: tuple[int, int] = (0, 0),
    features: int = 0,
    encryption: int = 0,
    cluster_bits: int = 16,
    l1: tuple[int, int] = (2, 0x30000),
    extension: tuple[int, bytes] | None = None,
    header_length: int = 104,
) -> bytes:
    """Return an image of four clusters with this header; see QEMU's docs/interop/qcow2.txt."""
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb", version, *backing, cluster_bits, virtual_size, encryption, *l1,
        0x10000, 1, 0, 0,
    )  # fmt: skip
    if version == 3:
        header += struct.pack(">QQQII", features, 0, 0, 4, header_length)
    if extension:
        kind, data = extension
        header += struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)
    return header + b"\0" * (4 * 65536 - len(header))


def iso() -> bytes:
    return b"\0" * 32768 + b"\x01CD001\x01" + b"\0" * 5000


def make(caller: Caller, disk_format: str = "raw") -> str:
    body = {"name": "one", "disk_format": disk_format, "container_format": "bare"}
    image_id: str = caller.post(IMAGES, json=body).json["id"]
    return image_id


def upload(caller: Caller, image_id: str, data: bytes, **options: Any) -> TestResponse:
    path = f"{IMAGES}/{image_id}/file"
    return caller.put(path, data=data, content_type=BYTES, **options)


def stored(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.images_dir.iterdir())


def test_an_upload_makes_the_image_active_with_its_sums(alice: Caller, settings: Settings) -> None:
    image_id = make(alice)
    assert upload(alice, image_id, RAW).status_code == 204
    image = alice.get(f"{IMAGES}/{image_id}").json
    assert image["status"] == "active"
    assert image["size"] == image["virtual_size"] == len(RAW)
    assert image["checksum"] == hashlib.md5(RAW, usedforsecurity=False).hexdigest()
    assert image["os_hash_algo"] == "sha512"
    assert image["os_hash_value"] == hashlib.sha512(RAW).hexdigest()
    path = images.file_path(settings, image_id)
    assert path.read_bytes() == RAW
    assert path.stat().st_mode & 0o777 == 0o600
    assert settings.images_dir.stat().st_mode & 0o777 == 0o700
    assert stored(settings) == [image_id]


def test_a_download_gives_the_same_bytes_or_a_part_of_them(alice: Caller, rita: Caller) -> None:
    image_id = make(alice)
    upload(alice, image_id, RAW)
    with rita.get(f"{IMAGES}/{image_id}/file") as answer:
        assert answer.data == RAW
        assert answer.headers["Content-Type"] == BYTES
        assert answer.headers["Content-Length"] == str(len(RAW))
        assert len(answer.headers["Content-MD5"]) == 32
    with rita.get(f"{IMAGES}/{image_id}/file", headers={"Range": "bytes=5-9"}) as answer:
        assert (answer.status_code, answer.data) == (206, RAW[5:10])


def test_an_image_without_bytes_downloads_as_nothing(alice: Caller) -> None:
    answer = alice.get(f"{IMAGES}/{make(alice)}/file")
    assert (answer.status_code, answer.data) == (204, b"")


def test_bytes_are_given_once(alice: Caller, settings: Settings) -> None:
    image_id = make(alice)
    upload(alice, image_id, RAW)
    answer = upload(alice, image_id, b"other")
    assert answer.status_code == 409
    assert images.file_path(settings, image_id).read_bytes() == RAW


def test_bytes_need_the_formats_first(alice: Caller) -> None:
    image_id = alice.post(IMAGES, json={"name": "one"}).json["id"]
    answer = upload(alice, image_id, RAW)
    assert answer.status_code == 400
    assert "disk_format" in answer.json["message"]


def test_another_media_type_is_refused(alice: Caller) -> None:
    answer = alice.put(f"{IMAGES}/{make(alice)}/file", json={})
    assert answer.status_code == 415


def test_a_reader_uploads_nothing(alice: Caller, rita: Caller) -> None:
    assert upload(rita, make(alice), RAW).status_code == 403


def test_a_deleted_images_bytes_are_gone(alice: Caller, settings: Settings) -> None:
    image_id = make(alice)
    upload(alice, image_id, RAW)
    assert alice.delete(f"{IMAGES}/{image_id}").status_code == 204
    assert stored(settings) == []
    assert alice.get(f"{IMAGES}/{image_id}/file").status_code == 404


@pytest.mark.parametrize(
    ("disk_format", "data", "virtual_size"),
    [
        ("qcow2", qcow2(), 1 << 30),
        ("qcow2", qcow2(5 << 30, version=2), 5 << 30),
        ("qcow2", qcow2(features=0b11001), 1 << 30),
        ("qcow2", qcow2(extension=(0x6803F857, b"\0" * 48)), 1 << 30),
        ("iso", iso(), len(iso())),
        ("raw", b"\xeb\x63" + b"\0" * 510 + b"EFI PART" + b"\0" * 4096, 4616),
    ],
)
def test_an_image_that_is_what_it_says_is_taken(
    alice: Caller, disk_format: str, data: bytes, virtual_size: int
) -> None:
    image_id = make(alice, disk_format)
    assert upload(alice, image_id, data).status_code == 204
    assert alice.get(f"{IMAGES}/{image_id}").json["virtual_size"] == virtual_size


@pytest.mark.parametrize(
    ("disk_format", "data", "reason"),
    [
        ("qcow2", qcow2(backing=(512, 11)), "backing file"),
        ("qcow2", qcow2(backing=(512, 0)), "backing file"),
        ("qcow2", qcow2(features=0b100), "another file"),
        ("qcow2", qcow2(extension=(0x44415441, b"/etc/shadow")), "another file"),
        ("qcow2", qcow2(version=2, extension=(0x44415441, b"/etc/shadow")), "another file"),
        ("qcow2", qcow2(features=0b10), "corrupt"),
        ("qcow2", qcow2(features=1 << 40), "unknown features"),
        ("qcow2", qcow2(encryption=2), "encrypted"),
        ("qcow2", qcow2(version=1), "version is 1"),
        ("qcow2", qcow2(virtual_size=0), "0 bytes"),
        ("qcow2", qcow2(virtual_size=1 << 63), "bytes"),
        ("qcow2", qcow2(cluster_bits=60), "clusters"),
        ("qcow2", qcow2(l1=(1 << 31, 0x30000)), "beyond its end"),
        ("qcow2", qcow2(header_length=1 << 31), "header has"),
        ("qcow2", qcow2()[:60], "cut off"),
        ("qcow2", qcow2()[:90], "beyond its end|cut off"),
        ("qcow2", b"", "its header is another"),
        ("qcow2", RAW, "its header is another"),
        ("raw", qcow2(), "it is qcow2"),
        ("raw", iso(), "it is iso"),
        ("raw", b"KDMV" + b"\0" * 600, "it is vmdk"),
        ("raw", b"# Disk DescriptorFile\nversion=1\n", "it is vmdk"),
        ("raw", b"\0" * 0x40 + b"\x7f\x10\xda\xbe" + b"\0" * 600, "it is vdi"),
        ("raw", b"\0" * 4096 + b"conectix" + b"\0" * 504, "it is vhd"),
        ("raw", b"vhdxfile" + b"\0" * 600, "it is vhdx"),
        ("raw", b"QED\0" + b"\0" * 600, "it is qed"),
        ("iso", RAW, "its header is another"),
        ("iso", b"QFI\xfb" + iso()[4:], "it is qcow2 too"),
    ],
)
def test_an_image_that_is_not_what_it_says_is_refused_and_nothing_is_kept(
    alice: Caller, settings: Settings, disk_format: str, data: bytes, reason: str
) -> None:
    image_id = make(alice, disk_format)
    answer = upload(alice, image_id, data)
    assert answer.status_code == 400
    assert any(part in answer.json["message"] for part in reason.split("|"))
    image = alice.get(f"{IMAGES}/{image_id}").json
    assert (image["status"], image["size"], image["checksum"]) == ("queued", None, None)
    assert stored(settings) == []


def test_after_a_refusal_the_right_bytes_may_follow(alice: Caller) -> None:
    image_id = make(alice, "qcow2")
    assert upload(alice, image_id, RAW).status_code == 400
    assert upload(alice, image_id, qcow2()).status_code == 204


class Broken(RawIOBase):
    """A connection that breaks off after some bytes: silently, or with an error."""

    def __init__(self, error: bool) -> None:
        self.left = 2 << 20
        self.error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self.left <= 0 and self.error:
            raise ConnectionResetError("reset by peer")
        size = min(len(buffer), self.left)
        buffer[:size] = b"x" * size
        self.left -= size
        return size


@pytest.mark.parametrize("error", [True, False])
def test_a_broken_upload_leaves_the_image_queued_and_nothing_on_disk(
    alice: Caller, settings: Settings, error: bool
) -> None:
    image_id = make(alice)
    answer = alice.put(
        f"{IMAGES}/{image_id}/file",
        content_type=BYTES,
        environ_overrides={"wsgi.input": Broken(error), "CONTENT_LENGTH": str(10 << 20)},
    )
    assert answer.status_code == 400
    assert alice.get(f"{IMAGES}/{image_id}").json["status"] == "queued"
    assert stored(settings) == []


def test_an_image_beyond_the_limit_is_refused(
    alice: Caller, services: Services, settings: Settings
) -> None:
    object.__setattr__(services, "settings", replace(settings, max_image_bytes=1 << 20))
    image_id = make(alice)
    assert upload(alice, image_id, RAW).status_code == 413
    chunked = alice.put(
        f"{IMAGES}/{image_id}/file",
        input_stream=BytesIO(RAW),
        content_type=BYTES,
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert chunked.status_code == 413
    assert alice.get(f"{IMAGES}/{image_id}").json["status"] == "queued"
    assert stored(settings) == []


def test_a_full_disk_is_said_and_nothing_is_kept(
    alice: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    image_id = make(alice)
    monkeypatch.setattr(image_store.os, "fsync", full)
    answer = upload(alice, image_id, RAW)
    assert answer.status_code == 413
    assert "full" in answer.json["message"]
    assert stored(settings) == []


def test_two_uploads_at_once_are_one_and_a_conflict(alice: Caller, settings: Settings) -> None:
    image_id = make(alice)
    with image_store.open_part(settings, image_id):
        assert upload(alice, image_id, RAW).status_code == 409
    assert upload(alice, image_id, RAW).status_code == 204


def test_an_image_deleted_during_its_upload_leaves_nothing(
    alice: Caller, settings: Settings
) -> None:
    image_id = make(alice)

    class DeletesMeanwhile(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            if not data:
                assert alice.delete(f"{IMAGES}/{image_id}").status_code in (204, 404)
            return data

    answer = alice.put(
        f"{IMAGES}/{image_id}/file",
        input_stream=DeletesMeanwhile(RAW),
        content_type=BYTES,
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 410
    assert stored(settings) == []


def test_bytes_stay_when_only_the_answer_to_the_commit_is_lost(
    alice: Caller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = make(alice)
    ended = images.end_upload

    def lost(session: Session, *arguments: Any) -> None:
        ended(session, *arguments)
        session.commit()
        raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(images, "end_upload", lost)
    assert upload(alice, image_id, RAW).status_code == 503
    assert alice.get(f"{IMAGES}/{image_id}").json["status"] == "active"
    with alice.get(f"{IMAGES}/{image_id}/file") as answer:
        assert answer.data == RAW


def test_uploads_that_died_with_their_process_are_mended_at_the_next_start(
    alice: Caller, settings: Settings, services: Services
) -> None:
    dead, alive, renamed = make(alice), make(alice), make(alice)
    with services.db.write() as session:
        for image_id in (dead, alive, renamed):
            session.get_one(Image, image_id).status = "saving"
    image_store.part_path(settings, dead).write_bytes(b"half")
    images.file_path(settings, renamed).write_bytes(b"whole, but never confirmed")
    with image_store.open_part(settings, alive):
        with services.db.write() as session:
            assert images.mend_dead_uploads(session, settings) == 2
        statuses = [alice.get(f"{IMAGES}/{each}").json["status"] for each in (dead, alive, renamed)]
        assert statuses == ["queued", "saving", "queued"]
        assert stored(settings) == [f"{alive}.part"]


def test_an_upload_may_follow_one_that_died(
    alice: Caller, settings: Settings, services: Services
) -> None:
    image_id = make(alice)
    with services.db.write() as session:
        session.get_one(Image, image_id).status = "saving"
    image_store.part_path(settings, image_id).write_bytes(b"half")
    assert upload(alice, image_id, RAW).status_code == 204
    assert images.file_path(settings, image_id).read_bytes() == RAW


class Zeros(RawIOBase):
    """So many zero bytes, made as they are read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = min(len(buffer), self.left)
        buffer[:size] = bytes(size)
        self.left -= size
        return size


def test_the_size_of_an_image_costs_no_memory(alice: Caller) -> None:
    size = 64 << 20
    image_id = make(alice)
    tracemalloc.start()
    try:
        answer = alice.put(
            f"{IMAGES}/{image_id}/file",
            content_type=BYTES,
            environ_overrides={"wsgi.input": Zeros(size), "CONTENT_LENGTH": str(size)},
        )
        assert answer.status_code == 204
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_a_name_of_an_image_is_never_a_path(alice: Caller, app: Flask, tmp_path: Path) -> None:
    for odd in ("..%2F..%2Fkeys%2Fsealing", "%2Fetc%2Fpasswd", "x.part", "%00"):
        with alice.get(f"{IMAGES}/{odd}/file") as answer:
            assert answer.status_code == 404
