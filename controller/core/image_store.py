"""The images' bytes: a file each, `<id>`, and `<id>.part` while it is being uploaded.

A part is locked by whoever writes it; one that nobody has locked is what a dead process left.
Files are the controller's alone (0600, in a folder of 0700).
"""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from controller.errors import BadRequest, Conflict, ImageQuotaExceeded, StorageFull, TooLarge
from controller.settings import Settings

CHUNK_BYTES = 1 << 20
FULL = "Image storage media is full. Delete images that nobody needs, or tell your operator."


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Received:
    """What came: its size in bytes, and its checksums in hexadecimal."""

    size_bytes: int
    md5: str
    sha256: str
    sha512: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many bytes an upload may have.

    `quota_bytes` is what the project's quota leaves, None for any number; `reserve_bytes` of the
    store's disk are left free.
    """

    max_bytes: int
    quota_bytes: int | None
    reserve_bytes: int

    def check(self, size_bytes: int) -> None:
        """Raise TooLarge or ImageQuotaExceeded when an image may not have so many bytes."""
        if size_bytes > self.max_bytes:
            raise TooLarge(
                f"The image has more than {self.max_bytes} bytes, which is all that is taken. Make "
                "it smaller."
            )
        if self.quota_bytes is not None and size_bytes > self.quota_bytes:
            raise ImageQuotaExceeded(
                "Quota exceeded for image_size_total: the image has more than the "
                f"{self.quota_bytes} bytes that are left of it. Delete images, or ask for a larger "
                "quota."
            )

    def check_room(self, file: BinaryIO, coming_bytes: int) -> None:
        """Raise StorageFull when so many more bytes in `file` would eat into the reserve."""
        disk = os.fstatvfs(file.fileno())
        free_bytes = disk.f_bavail * disk.f_frsize
        if free_bytes - coming_bytes < self.reserve_bytes:
            raise StorageFull(FULL, free_bytes=free_bytes, reserve_bytes=self.reserve_bytes)


def file_path(settings: Settings, image_id: str) -> Path:
    """Return where the bytes of an image lie once it is active."""
    return settings.images_dir / image_id


def part_path(settings: Settings, image_id: str) -> Path:
    return settings.images_dir / f"{image_id}.part"


@contextmanager
def open_part(settings: Settings, image_id: str) -> Iterator[BinaryIO]:
    """Give the empty, locked part of an image to write; what isn't `keep`-ed by then is removed.

    Raises Conflict while another upload of the same image is going on.
    """
    path = part_path(settings, image_id)
    settings.images_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        _lock(file, path, image_id)
        try:
            file.truncate(0)
            yield file
        finally:
            # While it is still locked; nothing is there any more when it was kept.
            path.unlink(missing_ok=True)


def _lock(file: BinaryIO, path: Path, image_id: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The one who had it may have removed the name between our open and our lock.
        same = os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        same = False
    if not same:
        raise Conflict(
            f"Cannot upload to image {image_id}: another upload to it is going on. Wait for it to "
            "end, or create another image."
        )


def receive(
    file: BinaryIO, stream: Readable, expected_bytes: int | None, bounds: Bounds
) -> Received:
    """Write `stream` into `file` chunk by chunk, safe on disk at the end.

    `expected_bytes` is what the client announced, None when it didn't say. Raises what `bounds`
    raise, before the disk is full; BadRequest when the stream ends early.
    """
    bounds.check(expected_bytes or 0)
    bounds.check_room(file, expected_bytes or 0)
    sums = [hashlib.md5(usedforsecurity=False), hashlib.sha256(), hashlib.sha512()]
    size = 0
    try:
        while chunk := stream.read(CHUNK_BYTES):
            size += len(chunk)
            bounds.check(size)
            bounds.check_room(file, len(chunk))
            for each in sums:
                each.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(FULL, used=size) from error
        raise BadRequest(f"The upload broke off after {size} bytes. Send it again.") from error
    if expected_bytes is not None and size != expected_bytes:
        raise BadRequest(
            f"The upload broke off: {size} of {expected_bytes} bytes came. Send it again."
        )
    return Received(size, *(each.hexdigest() for each in sums))


def keep(settings: Settings, image_id: str) -> None:
    """Make the part the image's file, in one step that a power failure doesn't undo."""
    part_path(settings, image_id).rename(file_path(settings, image_id))
    _sync_folder(settings)


def _sync_folder(settings: Settings) -> None:
    folder = os.open(settings.images_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def fetched_path(settings: Settings, image_id: str) -> Path:
    """Return where a play leaves the bytes of an image that it has fetched from a host, verified.

    While they come they are beside it, in `<id>.snapshot.<start of their checksum>.part`.
    """
    return settings.images_dir / f"{image_id}.snapshot"


def keep_fetched(settings: Settings, image_id: str) -> None:
    """Make what was fetched the image's file, as `keep` does with what was uploaded."""
    fetched_path(settings, image_id).rename(file_path(settings, image_id))
    _sync_folder(settings)


def remove_fetched(settings: Settings, image_id: str) -> None:
    """Remove what was fetched for the image, or began to be."""
    for path in settings.images_dir.glob(f"{image_id}.snapshot*"):
        path.unlink(missing_ok=True)


def stored(settings: Settings) -> list[str]:
    """Return the ids of the images whose bytes are here; what isn't whole yet is left out."""
    if not settings.images_dir.is_dir():
        return []
    names = (path.name for path in settings.images_dir.iterdir())
    return sorted(name for name in names if not name.endswith((".part", ".snapshot")))


def remove(settings: Settings, image_id: str) -> None:
    """Remove the image's file; a transfer that has it open goes on to its end."""
    file_path(settings, image_id).unlink(missing_ok=True)


def remove_dead_part(settings: Settings, image_id: str) -> bool:
    """Remove what a dead upload left. False while an upload is going on."""
    path = part_path(settings, image_id)
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink(missing_ok=True)
    return True
