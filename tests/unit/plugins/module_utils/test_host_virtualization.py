"""`host_virtualization.py`: KVM only where a guest on it really runs."""

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import host_virtualization


def cpuinfo(tmp_path: Path, flags: str) -> str:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t: fpu\n")
    return str(path)


def test_flags_are_read(tmp_path: Path) -> None:
    assert host_virtualization.cpu_flags(cpuinfo(tmp_path, "fpu vmx")) == {"fpu", "vmx"}


@pytest.mark.parametrize("device", ["/dev/null", "/dev/no-such-device", "/etc/hostname"])
def test_without_a_real_kvm_device_guests_are_emulated(tmp_path: Path, device: str) -> None:
    assert host_virtualization.virt_type(cpuinfo(tmp_path, "fpu svm"), device) == "qemu"


def test_kvm_device_without_the_cpu_flag_is_not_trusted(tmp_path: Path) -> None:
    """Such a /dev/kvm opens and answers, and a guest on it hangs (see LAB.md)."""
    if os.uname().machine != "x86_64":
        pytest.skip("only x86 has the flags")
    assert host_virtualization.virt_type(cpuinfo(tmp_path, "fpu sse"), "/dev/kvm") == "qemu"


def test_direct_io_is_tried_without_a_trace(tmp_path: Path) -> None:
    assert host_virtualization.supports_direct_io(str(tmp_path / "not" / "there")) in (True, False)
    assert list(tmp_path.iterdir()) == []


def test_filesystem_without_direct_io_is_seen() -> None:
    # proc takes no files at all, with O_DIRECT or without.
    assert not host_virtualization.supports_direct_io("/proc")


def test_direct_io_of_a_disk(tmp_path: Path) -> None:
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not kind.startswith(("ext", "xfs", "btrfs")):
        pytest.skip(f"{kind} may or may not have it")
    assert host_virtualization.supports_direct_io(str(tmp_path), check_mode=True)
