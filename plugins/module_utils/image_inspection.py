"""What a disk image is by its own bytes, and whether it may be used.

An uploaded image is hostile until shown otherwise: QEMU follows what a header says, and a header
can name any file of the host. So we read the headers ourselves, refuse what we don't expect, and
hand QEMU the format that was declared, never one that it guesses.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass

from . import work

# What an image may be declared as. VMDK and its like can name further files (VMDK extents), and
# nothing needs them here.
DECLARED_FORMATS = ("raw", "qcow2", "iso")

QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_V2_HEADER_BYTES = 72
_QCOW2_V3_HEADER_BYTES = 104
_QCOW2_DATA_FILE_BIT = 1 << 2
_EXTENSION_BACKING_FORMAT = 0xE2792ACA
_EXTENSION_DATA_FILE = 0x44415441

# (offset, bytes, format); the first hit wins, and what matches none is raw.
_SIGNATURES = (
    (0, QCOW2_MAGIC, "qcow2"),
    (0, b"QED\x00", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vhd"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0x8001, b"CD001", "iso"),
)
_HEAD_BYTES = 0x8006
_VHD_FOOTER_BYTES = 512

# qemu-img is fed foreign headers: a malformed one must not eat the host's memory or CPU.
INSPECT_MEMORY_BYTES = 1 << 30
INSPECT_CPU_S = 30


@dataclass(frozen=True)
class Qcow2Header:
    """What a qcow2 file says of itself, as far as it matters here."""

    version: int
    virtual_size_bytes: int
    backing_file: str | None
    backing_format: str | None
    external_data_file: bool
    encrypted: bool


def detect_format(path: str) -> str:
    """Return the format that the bytes of `path` show: qcow2, iso, vmdk, ... or raw."""
    with open(path, "rb") as image:
        head = image.read(_HEAD_BYTES)
        size_bytes = os.fstat(image.fileno()).st_size
        for offset, signature, image_format in _SIGNATURES:
            if head[offset : offset + len(signature)] == signature:
                return image_format
        if size_bytes >= _VHD_FOOTER_BYTES:
            # A fixed VHD is a raw disk with a footer.
            image.seek(-_VHD_FOOTER_BYTES, os.SEEK_END)
            if image.read(8) == b"conectix":
                return "vhd"
    return "raw"


def read_qcow2_header(path: str) -> Qcow2Header:
    """Return the header of the qcow2 file `path`; WorkError when it is cut short or malformed."""
    with open(path, "rb") as image:
        # Header, extensions and the backing file's name lie in the first cluster (2 MiB at most).
        head = image.read(2 << 20)
    try:
        return _parse_qcow2_header(head)
    except (struct.error, ValueError, IndexError) as error:
        raise work.WorkError(
            f"Refused {path}: its qcow2 header is malformed ({error}). Upload the image again, or "
            "remove this file."
        ) from error


def _parse_qcow2_header(head: bytes) -> Qcow2Header:
    magic, version, backing_offset, backing_bytes, cluster_bits, size, crypt = struct.unpack_from(
        ">4sIQIIQI", head
    )
    if magic != QCOW2_MAGIC:
        raise ValueError("no qcow2 signature")
    if version not in (2, 3):
        raise ValueError(f"version {version}, not 2 or 3")
    if not 9 <= cluster_bits <= 21:
        raise ValueError(f"clusters of 2^{cluster_bits} bytes")
    incompatible, extensions_at = 0, _QCOW2_V2_HEADER_BYTES
    if version == 3:
        incompatible = struct.unpack_from(">Q", head, 72)[0]
        extensions_at = struct.unpack_from(">I", head, 100)[0]
        if extensions_at < _QCOW2_V3_HEADER_BYTES:
            raise ValueError(f"a header of {extensions_at} bytes")
    extensions = _qcow2_extensions(head, extensions_at)
    backing_format = extensions.get(_EXTENSION_BACKING_FORMAT)
    backing_file = head[backing_offset : backing_offset + backing_bytes] if backing_offset else b""
    if len(backing_file) != (backing_bytes if backing_offset else 0):
        raise ValueError("the backing file's name lies outside the first cluster")
    return Qcow2Header(
        version=version,
        virtual_size_bytes=size,
        # An offset without a name is taken for a backing file too: QEMU's reading is not ours.
        backing_file=backing_file.decode(errors="replace") if backing_offset else None,
        backing_format=backing_format.decode(errors="replace") if backing_format else None,
        external_data_file=bool(incompatible & _QCOW2_DATA_FILE_BIT)
        or _EXTENSION_DATA_FILE in extensions,
        encrypted=crypt != 0,
    )


def _qcow2_extensions(head: bytes, offset: int) -> dict[int, bytes]:
    extensions: dict[int, bytes] = {}
    while offset + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, offset)
        if kind == 0:
            break
        if offset + 8 + length > len(head):
            raise ValueError("a header extension lies outside the first cluster")
        extensions[kind] = head[offset + 8 : offset + 8 + length]
        offset += 8 + (length + 7) // 8 * 8
    return extensions


def check_image(path: str, declared: str, what: str) -> int:
    """Return the virtual size, in bytes, of the image in `path`, once it is safe to open.

    `declared` is the format that the image's owner gave; `what` names the image in messages.
    Raises WorkError when the bytes show another format, a backing file, an external data file or
    encryption, or when qemu-img sees something else than we do. An ISO is accepted as raw.
    """
    if declared not in DECLARED_FORMATS:
        raise work.WorkError(
            f"Refused {what}: its format {declared!r} is not supported. Convert it to one of "
            f"{', '.join(DECLARED_FORMATS)} (qemu-img convert) and upload it again."
        )
    detected = detect_format(path)
    if detected != declared and (declared, detected) != ("raw", "iso"):
        raise work.WorkError(
            f"Refused {what}: it was declared as {declared} but its bytes show {detected}. Upload "
            "it again with the right disk_format."
        )
    if declared != "qcow2":
        return os.path.getsize(path)
    header = read_qcow2_header(path)
    _check_self_contained(header, what)
    _check_second_opinion(path, what)
    return header.virtual_size_bytes


def _check_self_contained(header: Qcow2Header, what: str) -> None:
    flatten = "Flatten it (qemu-img convert -O qcow2) and upload the result."
    if header.backing_file is not None:
        raise work.WorkError(
            f"Refused {what}: its header names the backing file {header.backing_file!r}, which "
            f"would be read from the host. {flatten}"
        )
    if header.external_data_file:
        raise work.WorkError(
            f"Refused {what}: its data is in an external file, which would be read from the host. "
            f"{flatten}"
        )
    if header.encrypted:
        raise work.WorkError(
            f"Refused {what}: it is encrypted, and a host has no key for it. {flatten}"
        )


def _check_second_opinion(path: str, what: str) -> None:
    """Ask qemu-img, within bounds: our parser and QEMU's must agree that nothing is outside."""
    said = json.loads(
        work.run_command(
            [
                "prlimit",
                f"--as={INSPECT_MEMORY_BYTES}",
                f"--cpu={INSPECT_CPU_S}",
                "qemu-img",
                "info",
                "--output=json",
                "-f",
                "qcow2",
                path,
            ],
            timeout=4 * INSPECT_CPU_S,
        )
    )
    specific = (said.get("format-specific") or {}).get("data") or {}
    outside = said.get("full-backing-filename") or said.get("backing-filename")
    outside = outside or specific.get("data-file")
    if outside:
        raise work.WorkError(f"Refused {what}: QEMU would read {outside!r} of the host for it.")
