"""The cache of base images in `instances/_base`: made once, shared by the overlays of a host.

A base is raw, read-only (0444) and complete as soon as it has its name: it is made beside
(`.part` as downloaded, `.converted` by qemu-img) and renamed. One lock file for each base keeps two
makers apart, on shared storage too. Follows the image cache of OpenStack Nova's libvirt driver.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import base_image_sums, image_inspection, names, work
from .instance_paths import InstancePaths, sync_directory

BASE_MODE = 0o444
CONVERT_TIMEOUT_S = 3600
DISK_WORK_SLOTS = 2
CHECKSUM_ALGORITHMS = ("sha256", "sha512")


@dataclass(frozen=True)
class BaseImage:
    """The image that a base is made of, as `qcow2_disk` is given it."""

    image_id: str
    format: str
    checksum: str | None  # "sha256:<hex>", of the file as uploaded
    size_bytes: int | None  # of the file as uploaded
    virtual_size_bytes: int | None
    source: str | None  # a file on this host to make the base of, instead of a streamed `.part`

    @property
    def title(self) -> str:
        return f"image {self.image_id}"

    @property
    def known_virtual_size_bytes(self) -> int | None:
        """The disk's size as far as it is known before a byte is here."""
        if self.virtual_size_bytes is not None or self.format == "qcow2":
            return self.virtual_size_bytes
        return self.size_bytes


@dataclass(frozen=True)
class BaseFile:
    """A base that is there, or (in check mode) would be."""

    path: str
    virtual_size_bytes: int | None  # None: unknown until it is made
    made: bool


def image_from(params: dict[str, Any]) -> BaseImage:
    """Return the image of the module parameter `base`. Raises WorkError for a wrong one."""
    work.check_uuid(params["image_id"], "base image_id")
    checksum = params.get("checksum")
    if checksum:
        algorithm, _, digest = checksum.partition(":")
        if algorithm not in CHECKSUM_ALGORITHMS or not digest:
            raise work.WorkError(
                f"Cannot verify image {params['image_id']}: the checksum {checksum!r} has no known "
                f"algorithm. Write it as sha256:<hex> or sha512:<hex>."
            )
    source = params.get("source")
    if source and not os.path.isabs(source):
        raise work.WorkError(
            f"Cannot read image {params['image_id']} from {source!r}: give an absolute path on "
            "the host."
        )
    return BaseImage(
        image_id=params["image_id"],
        format=params["format"],
        checksum=checksum or None,
        size_bytes=params.get("size_bytes"),
        virtual_size_bytes=params.get("virtual_size_bytes"),
        source=source or None,
    )


def ensure_image(
    image: BaseImage,
    paths: InstancePaths,
    disk_bytes: int | None,
    check_mode: bool,
    slots: int = DISK_WORK_SLOTS,
) -> BaseFile:
    """Return the base of `image`, made now if it was not there; touch it, as it is in use.

    `disk_bytes` is the disk that it must fit into, None for any. Raises WorkError when the image is
    larger than that (before anything is made), is not what it says, or does not fit on the host;
    with the detail `missing_base` when its bytes are not on the host: stream them into
    `missing_base["part"]` from `missing_base["offset"]` on, and call this again.
    """
    path = path_of(image.image_id, paths)
    _check_fits(image, image.known_virtual_size_bytes, disk_bytes)
    found = _present_base(path, image, disk_bytes, check_mode)
    if found:
        return found
    if check_mode:
        return BaseFile(path, image.known_virtual_size_bytes, made=True)
    paths.make_base_directories()
    with work.locked(os.path.join(paths.locks, os.path.basename(path))):
        # Someone else may have made it while we waited for the lock.
        found = _present_base(path, image, disk_bytes, check_mode)
        if found:
            return found
        with partial_files_removed(path + ".converted"):
            return _make_image(image, path, paths, disk_bytes, slots)


def _present_base(
    path: str, image: BaseImage, disk_bytes: int | None, check_mode: bool
) -> BaseFile | None:
    if not os.path.lexists(path):
        return None
    size_bytes = check_base(path)
    _check_fits(image, size_bytes, disk_bytes)
    if not check_mode:
        # The age of a base counts from its last use.
        os.utime(path)
    return BaseFile(path, size_bytes, made=False)


def check_base(path: str) -> int:
    """Return the size in bytes of the base `path`, looked at again before an overlay is made on it.

    Raises WorkError when it is no plain file, or empty, of another size than it was made with, or
    not raw any more. Its content is not read: a hash of many gigabytes at each create would cost
    more than the create.
    """
    remove = "Move it away and run this again; the base is then made afresh."
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        raise work.WorkError(f"Refused the base {path}: it is empty or no plain file. {remove}")
    recorded = (work.read_file(_size_path(path)) or "").strip()
    if recorded and recorded != str(status.st_size):
        raise work.WorkError(
            f"Refused the base {path}: it has {status.st_size} bytes and was made with {recorded}. "
            f"{remove}"
        )
    detected = image_inspection.detect_format(path)
    if detected not in ("raw", "iso"):
        raise work.WorkError(f"Refused the base {path}: it is {detected}, not raw. {remove}")
    return status.st_size


def _check_fits(image: BaseImage, size_bytes: int | None, disk_bytes: int | None) -> None:
    if size_bytes is not None and disk_bytes is not None and size_bytes > disk_bytes:
        raise work.WorkError(
            f"Refused {image.title}: its disk of {size_bytes} bytes is larger than the "
            f"{disk_bytes} bytes that the flavor allows. Choose a flavor with a disk of at least "
            f"{-(-size_bytes // (1 << 30))} GiB."
        )


def _make_image(
    image: BaseImage, path: str, paths: InstancePaths, disk_bytes: int | None, slots: int
) -> BaseFile:
    source = image.source or _complete_part(image, path)
    if not os.path.isfile(source):
        raise work.WorkError(
            f"Cannot make the base of {image.title}: there is no file {source} on this host."
        )
    try:
        with disk_work_slot(paths, slots):
            _verify_checksum(image, source)
            size_bytes = image_inspection.check_image(source, image.format, image.title)
            _check_fits(image, size_bytes, disk_bytes)
            _convert(image, source, path)
    except BaseException:
        # A part that turned out bad, or did not fit, is not resumed but streamed afresh.
        if not image.source:
            work.remove_file(path + ".part")
        raise
    work.remove_file(path + ".part")
    return BaseFile(path, check_base(path), made=True)


def _complete_part(image: BaseImage, path: str) -> str:
    """Return the streamed file, on disk to its last byte. Raises WorkError with `missing_base`."""
    part = path + ".part"
    if image.size_bytes is None:
        raise work.WorkError(
            f"Cannot make the base of {image.title}: neither size_bytes nor a source on this host "
            "was given. Give base.size_bytes (and stream the file), or base.source."
        )
    have_bytes = os.path.getsize(part) if os.path.exists(part) else 0
    if have_bytes > image.size_bytes:
        work.remove_file(part)
        have_bytes = 0
    if have_bytes < image.size_bytes:
        raise work.WorkError(
            f"{image.title.capitalize()} is not on this host ({have_bytes} of {image.size_bytes} "
            f"bytes are). Stream it into {part} (the playbooks do, out of image.path), or give "
            "base.source, a file on the host.",
            missing_base={
                "image_id": image.image_id,
                "format": image.format,
                "checksum": image.checksum,
                "size_bytes": image.size_bytes,
                "base": path,
                "part": part,
                "offset": have_bytes,
            },
        )
    _sync_file(part)
    return part


def _verify_checksum(image: BaseImage, source: str) -> None:
    if not image.checksum:
        return
    algorithm, _, wanted = image.checksum.partition(":")
    with open(source, "rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != wanted.lower():
        raise work.WorkError(
            f"Refused {image.title}: the {algorithm} of what arrived is {found}, not {wanted}. "
            "Run this again to fetch it afresh; if it fails again, the stored image is damaged."
        )


def _convert(image: BaseImage, source: str, path: str) -> None:
    if image.format != "qcow2" and not image.source:
        # Raw already: the streamed file itself becomes the base, its zeros given back.
        with contextlib.suppress(work.WorkError):
            work.run_command(["fallocate", "--dig-holes", source], timeout=CONVERT_TIMEOUT_S)
        publish_base(source, path)
        return
    converted = path + ".converted"
    declared = "qcow2" if image.format == "qcow2" else "raw"
    with full_disk_explained(f"convert {image.title}", path):
        work.run_command(
            ["qemu-img", "convert", "-f", declared, "-O", "raw", source, converted],
            timeout=CONVERT_TIMEOUT_S,
        )
    detected = image_inspection.detect_format(converted)
    if detected not in ("raw", "iso"):
        raise work.WorkError(
            f"Refused {image.title}: inside the {declared} there is a {detected} image. Upload the "
            "inner image itself."
        )
    _sync_file(converted)
    publish_base(converted, path)


def publish_base(made: str, path: str) -> None:
    """Give the finished file `made` the base's name, read-only; after a power cut too."""
    os.chmod(made, BASE_MODE)
    _sync_file(made)
    # The record first: a base must never stand beside the size of another.
    work.remove_file(path)
    work.write_file(_size_path(path), f"{os.path.getsize(made)}\n")
    base_image_sums.record(made, path)
    os.replace(made, path)
    sync_directory(os.path.dirname(path))


def _size_path(path: str) -> str:
    """Where the size that the base `path` was made with is noted; it outlives the base."""
    folder, name = os.path.split(path)
    return os.path.join(folder, "locks", f"{name}.size")


def _sync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def path_of(image_id: str, paths: InstancePaths) -> str:
    """Return where the base of an image lies, there or not."""
    return os.path.join(paths.base, names.base_image_name(image_id))


@contextlib.contextmanager
def in_use(path: str | None, paths: InstancePaths, check_mode: bool) -> Iterator[None]:
    """Keep the base `path` from being aged out while a disk is made on it; None is no base.

    Many may hold it at once. It is another lock than that of the making, which is held alone.
    """
    # Where nothing is yet, nothing is aged, and what is refused has made nothing.
    if path is None or check_mode or not os.path.isdir(paths.instances):
        yield
        return
    paths.make_base_directories()
    descriptor = os.open(_use_lock(path, paths), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_if_free(path: str, paths: InstancePaths) -> Iterator[bool]:
    """Yield whether nobody is making the base `path`, or a disk on it; none begins within."""
    paths.make_base_directories()
    descriptor = os.open(_use_lock(path, paths), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _use_lock(path: str, paths: InstancePaths) -> str:
    return os.path.join(paths.locks, f"{os.path.basename(path)}.use")


@contextlib.contextmanager
def partial_files_removed(*partial: str) -> Iterator[None]:
    """Remove the files `partial` on the way in (left by a killed run) and when the work fails."""
    for path in partial:
        work.remove_file(path)
    try:
        yield
    except BaseException:
        for path in partial:
            work.remove_file(path)
        raise


@contextlib.contextmanager
def full_disk_explained(doing: str, path: str) -> Iterator[None]:
    """Turn 'no space left' of a program or a system call into a message with the way out."""
    try:
        yield
    except work.WorkError as error:
        # QEMU's tools say it in words only.
        if os.strerror(errno.ENOSPC) not in error.msg:
            raise
        raise _disk_full(doing, path) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _disk_full(doing, path) from error


def _disk_full(doing: str, path: str) -> work.WorkError:
    folder = os.path.dirname(path)
    usage = os.statvfs(folder)
    free_mb = usage.f_bavail * usage.f_frsize >> 20
    return work.WorkError(
        f"Cannot {doing}: no space is left on this host's disk ({folder}, {free_mb} MiB free). "
        "What was partly made has been removed. Free space there, or use another host.",
        disk_full=True,
    )


@contextlib.contextmanager
def disk_work_slot(paths: InstancePaths, slots: int = DISK_WORK_SLOTS) -> Iterator[None]:
    """Hold one of the host's `slots` for heavy disk work, so that many creates don't drown it."""
    paths.make_base_directories()
    files = [os.path.join(paths.locks, f"disk-work-{number}") for number in range(max(slots, 1))]
    descriptors = [os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for file in files]
    try:
        _take_any(descriptors)
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _take_any(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
    # All busy: queue at one, chosen so that waiters spread over them.
    fcntl.flock(descriptors[os.getpid() % len(descriptors)], fcntl.LOCK_EX)
