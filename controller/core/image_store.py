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

from controller.errors import BadRequest, Conflict, TooLarge
from controller.settings import Settings

CHUNK_BYTES = 1 << 20


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Received:
    """What came: its size in bytes, and its checksums in hexadecimal."""

    size_bytes: int
    md5: str
    sha256: str
    sha512: str


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


def receive(file: BinaryIO, stream: Readable, expected_bytes: int | None, limit: int) -> Received:
    """Write `stream` into `file` chunk by chunk, safe on disk at the end.

    `expected_bytes` is what the client announced. Raises TooLarge beyond `limit` or on a full
    disk, BadRequest when the stream ends early.
    """
    if expected_bytes is not None and expected_bytes > limit:
        raise TooLarge(f"The image has {expected_bytes} bytes; at most {limit} are taken.")
    sums = [hashlib.md5(usedforsecurity=False), hashlib.sha256(), hashlib.sha512()]
    size = 0
    try:
        while chunk := stream.read(CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise TooLarge(
                    f"The image has more than {limit} bytes, which is all that is taken."
                )
            for each in sums:
                each.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TooLarge("The image store is full. Tell your operator.", used=size) from error
        raise BadRequest(f"The upload broke off after {size} bytes. Send it again.") from error
    if expected_bytes is not None and size != expected_bytes:
        raise BadRequest(
            f"The upload broke off: {size} of {expected_bytes} bytes came. Send it again."
        )
    return Received(size, *(each.hexdigest() for each in sums))


def keep(settings: Settings, image_id: str) -> None:
    """Make the part the image's file, in one step that a power failure doesn't undo."""
    part_path(settings, image_id).rename(file_path(settings, image_id))
    folder = os.open(settings.images_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
