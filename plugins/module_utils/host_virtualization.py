"""What this host's CPU, kernel and filesystems offer to QEMU."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import tempfile

KVM_DEVICE = "/dev/kvm"
KVM_GET_API_VERSION = 0xAE00
KVM_API_VERSION = 12
CPU_FLAGS = frozenset({"vmx", "svm"})
_DIRECT_IO_BYTES = 4096


def virt_type(cpuinfo_path: str = "/proc/cpuinfo", device: str = KVM_DEVICE) -> str:
    """Return "kvm" where QEMU can use it, else "qemu" (emulation).

    The CPU flag is asked for beside the device: there are hosts whose /dev/kvm opens although the
    CPU was given no virtualization, and a guest on it hangs.
    """
    if os.uname().machine == "x86_64" and not CPU_FLAGS & cpu_flags(cpuinfo_path):
        return "qemu"
    return "kvm" if _is_kvm(device) else "qemu"


def cpu_flags(cpuinfo_path: str = "/proc/cpuinfo") -> frozenset[str]:
    """Return the flags of the first CPU."""
    with open(cpuinfo_path, encoding="utf-8") as cpuinfo:
        for line in cpuinfo:
            name, _, value = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return frozenset(value.split())
    return frozenset()


def _is_kvm(device: str) -> bool:
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(descriptor, KVM_GET_API_VERSION) == KVM_API_VERSION
    except OSError:
        return False
    finally:
        os.close(descriptor)


def supports_direct_io(folder: str, check_mode: bool = False) -> bool:
    """Return whether files below `folder`, which need not be there yet, take O_DIRECT.

    QEMU's cache mode `none` needs it. Tried with a file without a name, so nothing is seen on the
    host; in check mode no file with a name is made even where the filesystem knows no others.
    """
    while not os.path.isdir(folder) and folder != "/":
        folder = os.path.dirname(folder)
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_DIRECT, 0o600)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT) or check_mode:
            return False
        return _direct_io_by_name(folder)
    return _writes_directly(descriptor)


def _direct_io_by_name(folder: str) -> bool:
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = os.path.join(scratch, "direct")
        return _writes_directly(os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600))
    return False


def _writes_directly(descriptor: int) -> bool:
    # Some filesystems take the flag and fail the write. mmap gives memory aligned as it must be.
    try:
        with mmap.mmap(-1, _DIRECT_IO_BYTES) as block:
            return os.write(descriptor, block) == _DIRECT_IO_BYTES
    except OSError:
        return False
    finally:
        os.close(descriptor)
