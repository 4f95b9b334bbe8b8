"""What the content of a base was when it was made, so that damage shows later.

The image's own checksum is of the file as uploaded, which is not kept; so each base gets a sum of
its own. It counts what is in the blocks that are not all zeros, with their places: holes need not
be read, and digging some later changes nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os

from . import work

BLOCK_BYTES = 256 * 1024
_ZEROS = bytes(BLOCK_BYTES)


def content_sum(path: str) -> str:
    """Return the sum of the file `path`, in hexadecimal. Raises OSError when it can't be read."""
    with open(path, "rb", buffering=0) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(f"{size_bytes}\n".encode())
        offset = _next_data(file.fileno(), 0)
        while offset is not None:
            offset -= offset % BLOCK_BYTES
            block = os.pread(file.fileno(), BLOCK_BYTES, offset)
            if block != _ZEROS[: len(block)]:
                digest.update(f"{offset}\n".encode())
                digest.update(block)
            offset = _next_data(file.fileno(), offset + BLOCK_BYTES)
    return digest.hexdigest()


def _next_data(descriptor: int, offset: int) -> int | None:
    """Return where the next bytes are that may not be zero; None behind the last of them."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def record(made: str, path: str) -> None:
    """Note the sum of the finished file `made`, which is about to become the base `path`."""
    work.write_file(_sum_path(path), f"{content_sum(made)}\n")


def recorded(path: str) -> str | None:
    """Return the sum that the base `path` was made with; None if nobody noted it."""
    return (work.read_file(_sum_path(path)) or "").strip() or None


def _sum_path(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, "locks", f"{name}.sum")
