"""What an uploaded image really is. Its bytes are a stranger's, and later hosts open them as root.

Nothing is guessed: an image is taken when it is what its owner said, and refused when it also looks
like something else, or names files outside of itself. Read with our own few lines rather than by
`qemu-img info`, which would open whatever the header names. Follows oslo.utils' format inspector
and the qcow2 specification of QEMU (docs/interop/qcow2.txt).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from controller.errors import BadRequest

FORMATS = ("raw", "qcow2", "iso")
QCOW2_MAGIC = b"QFI\xfb"
# More than any host can hold, and small enough that no arithmetic on it overflows.
MAX_VIRTUAL_SIZE_BYTES = 1 << 50

_SECTOR = 512
_ISO_AT = 32769
# Where each format shows itself: (name, offset, bytes).
_SIGNATURES = (
    ("qcow2", 0, QCOW2_MAGIC),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk", 0, b"# Disk DescriptorFile"),
    ("vdi", 0x40, b"\x7f\x10\xda\xbe"),
    ("vhd", 0, b"conectix"),
    ("vhdx", 0, b"vhdxfile"),
    ("qed", 0, b"QED\0"),
    ("parallels", 0, b"WithoutFreeSpace"),
    ("parallels", 0, b"WithouFreSpacExt"),
    ("luks", 0, b"LUKS\xba\xbe"),
    ("iso", _ISO_AT, b"CD001"),
)

# qcow2's incompatible features: bit -> why it is refused. Dirty (0) is mended by a check on the
# host; compression type (3) and extended L2 entries (4) are only ways of writing.
_REFUSED_FEATURES = {1: "it is marked as corrupt", 2: "its data lies in another file"}
_KNOWN_FEATURES = 0b11111
_EXTERNAL_DATA_FILE = 0x44415441


def inspect(path: Path, disk_format: str) -> int:
    """Return the size of the disk in bytes that the guest will see.

    Raises BadRequest when the file is not of `disk_format`, or refers to anything outside itself.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        found = _signatures(file, size)
        if disk_format == "raw":
            _refuse(f"it is {', '.join(sorted(found))}" if found else None, disk_format)
            return size
        if disk_format not in found:
            _refuse("its header is another", disk_format)
        others = found - {disk_format}
        _refuse(f"it is {', '.join(sorted(others))} too" if others else None, disk_format)
        return _qcow2_size(file, size) if disk_format == "qcow2" else size


def _refuse(reason: str | None, disk_format: str) -> None:
    if reason:
        raise BadRequest(
            f"The upload is refused as {disk_format}: {reason}. Upload an image that stands by "
            "itself, and create it with the disk_format that it has."
        )


def _signatures(file: BinaryIO, size: int) -> set[str]:
    """Return the formats that the file shows signs of; empty for a plain disk."""
    found = {name for name, offset, magic in _SIGNATURES if _at(file, offset, len(magic)) == magic}
    # A fixed VHD is a plain disk with a footer.
    if size >= _SECTOR and _at(file, size - _SECTOR, 8) == b"conectix":
        found.add("vhd")
    return found


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _qcow2_size(file: BinaryIO, file_size: int) -> int:
    header = _at(file, 0, 104)
    if len(header) < 72:
        _refuse("its header is cut off", "qcow2")
    (version, backing_offset, backing_length, cluster_bits, virtual_size, encryption, l1_entries,
     l1_offset) = struct.unpack(">IQIIQIIQ", header[4:48])  # fmt: skip
    if version not in (2, 3):
        _refuse(f"its version is {version}, and 2 and 3 are known", "qcow2")
    if backing_offset or backing_length:
        _refuse("it names a backing file", "qcow2")
    if encryption:
        _refuse("it is encrypted", "qcow2")
    if not 9 <= cluster_bits <= 21:
        _refuse(f"its clusters have 2^{cluster_bits} bytes", "qcow2")
    if not 0 < virtual_size <= MAX_VIRTUAL_SIZE_BYTES:
        _refuse(f"its disk has {virtual_size} bytes", "qcow2")
    if l1_offset + l1_entries * 8 > file_size:
        _refuse("its table of clusters lies beyond its end", "qcow2")
    header_length = 72
    if version == 3:
        header_length = _check_version_3(header)
    for kind, _ in _extensions(file, header_length, 1 << cluster_bits):
        if kind == _EXTERNAL_DATA_FILE:
            _refuse(_REFUSED_FEATURES[2], "qcow2")
    return int(virtual_size)


def _check_version_3(header: bytes) -> int:
    """Return the header's length. Refuses features that reach outside or are unknown."""
    if len(header) < 104:
        _refuse("its header is cut off", "qcow2")
    (features,) = struct.unpack(">Q", header[72:80])
    for bit, reason in _REFUSED_FEATURES.items():
        if features >> bit & 1:
            _refuse(reason, "qcow2")
    if features & ~_KNOWN_FEATURES:
        _refuse(f"it has unknown features ({features:#x})", "qcow2")
    (length,) = struct.unpack(">I", header[100:104])
    if not 104 <= length <= 4096:
        _refuse(f"its header has {length} bytes", "qcow2")
    return int(length)


def _extensions(file: BinaryIO, offset: int, cluster_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield each header extension's (type, length); all lie in the first cluster."""
    while offset + 8 <= cluster_bytes:
        entry = _at(file, offset, 8)
        if len(entry) < 8:
            return
        kind, length = struct.unpack(">II", entry)
        if kind == 0:
            return
        yield kind, length
        offset += 8 + (length + 7) // 8 * 8
