"""`image_inspection.py`: nothing that an uploaded image says reaches a file of the host."""

import struct
from pathlib import Path

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import image_inspection, work
from tests.unit.plugins.module_utils.disk_files import MIB, qemu_img


def make_qcow2(path: Path, *options: object) -> Path:
    qemu_img("create", "-q", "-f", "qcow2", *options, path, "16M")
    return path


def refusal(path: Path, declared: str) -> str:
    with pytest.raises(work.WorkError) as caught:
        image_inspection.check_image(str(path), declared, "image X")
    return caught.value.msg


@pytest.mark.parametrize("options", [(), ("-o", "compat=0.10"), ("-o", "extended_l2=on")])
def test_plain_qcow2_is_accepted_with_its_virtual_size(tmp_path: Path, options: tuple) -> None:
    path = make_qcow2(tmp_path / "image", *options)
    assert image_inspection.check_image(str(path), "qcow2", "image X") == 16 * MIB


def test_qcow2_declared_raw_is_refused(tmp_path: Path) -> None:
    message = refusal(make_qcow2(tmp_path / "image"), "raw")
    assert "declared as raw but its bytes show qcow2" in message


def test_raw_declared_qcow2_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(MIB))
    assert "declared as qcow2 but its bytes show raw" in refusal(tmp_path / "image", "qcow2")


@pytest.mark.parametrize("image_format", ["vmdk", "vdi", "vpc", "vhdx", "qed", "parallels"])
def test_other_formats_declared_raw_are_refused(tmp_path: Path, image_format: str) -> None:
    path = tmp_path / "image"
    qemu_img("create", "-q", "-f", image_format, path, "16M")
    detected = "vhd" if image_format == "vpc" else image_format
    assert f"bytes show {detected}" in refusal(path, "raw")


def test_luks_declared_raw_is_refused(tmp_path: Path) -> None:
    """By its magic alone: to make one, qemu-img measures the CPU, and fails now and then."""
    (tmp_path / "image").write_bytes(b"LUKS\xba\xbe\x00\x01" + bytes(MIB))
    assert "bytes show luks" in refusal(tmp_path / "image", "raw")


def test_vmdk_is_not_a_supported_format(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"# Disk DescriptorFile\n")
    message = refusal(tmp_path / "image", "vmdk")
    assert "'vmdk' is not supported" in message
    assert "raw, qcow2, iso" in message


def test_backing_file_is_refused(tmp_path: Path) -> None:
    base = make_qcow2(tmp_path / "base")
    path = make_qcow2(tmp_path / "image", "-F", "qcow2", "-b", base)
    assert f"names the backing file '{base}'" in refusal(path, "qcow2")


def test_backing_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = make_qcow2(tmp_path / "image", "-u", "-F", "raw", "-b", "/etc/shadow")
    assert "/etc/shadow" in refusal(path, "qcow2")


def test_external_data_file_is_refused(tmp_path: Path) -> None:
    path = make_qcow2(tmp_path / "image", "-o", f"data_file={tmp_path / 'data'}")
    assert "external file" in refusal(path, "qcow2")


def test_data_file_bit_without_a_name_is_refused(tmp_path: Path) -> None:
    path = make_qcow2(tmp_path / "image")
    content = bytearray(path.read_bytes())
    struct.pack_into(">Q", content, 72, 1 << 2)
    path.write_bytes(content)
    assert "external file" in refusal(path, "qcow2")


def test_encrypted_qcow2_is_refused(tmp_path: Path) -> None:
    path = make_qcow2(tmp_path / "image")
    content = bytearray(path.read_bytes())
    # crypt_method 2 is LUKS. Patched in, for the reason above.
    struct.pack_into(">I", content, 32, 2)
    path.write_bytes(content)
    assert "encrypted" in refusal(path, "qcow2")


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [(4, ">I", 1), (20, ">I", 63), (100, ">I", 8), (104, ">I", 0xFFFFFFF0), (16, ">I", 1 << 30)],
)
def test_malformed_header_is_refused(tmp_path: Path, offset: int, layout: str, value: int) -> None:
    path = make_qcow2(tmp_path / "image", "-u", "-F", "raw", "-b", "/x")
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, offset, value)
    if offset == 104:
        struct.pack_into(">I", content, 108, 0xFFFFFFF0)
    path.write_bytes(content)
    assert "Refused" in refusal(path, "qcow2")


@pytest.mark.parametrize("length", [4, 40, 80])
def test_header_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    path = make_qcow2(tmp_path / "image")
    path.write_bytes(path.read_bytes()[:length])
    assert "malformed" in refusal(path, "qcow2")


@pytest.mark.parametrize("declared", ["iso", "raw"])
def test_iso_is_accepted_as_iso_and_as_raw(tmp_path: Path, declared: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(0x8001) + b"CD001" + bytes(4096))
    size_bytes = image_inspection.check_image(str(path), declared, "image X")
    assert size_bytes == path.stat().st_size


def test_raw_declared_iso_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(MIB))
    assert "declared as iso but its bytes show raw" in refusal(tmp_path / "image", "iso")
