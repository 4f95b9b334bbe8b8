"""Lay the tiny guest out on a disk: MBR, a FAT partition that boots, an ext4 root; as qcow2."""

import shutil
from pathlib import Path

from lab.command import run_command
from lab.guest_kernel import Kernel
from lab.guest_root import TEMPLATES

MIB = 1024 * 1024
BOOT_START_MB = 1
BOOT_MB = 20
ROOT_START_MB = BOOT_START_MB + BOOT_MB
ROOT_MB = 64
SECTORS_PER_MB = MIB // 512

MBR_CODE = Path("/usr/lib/syslinux/mbr/mbr.bin")


def write_disk(kernel: Kernel, initramfs: Path, root: Path, work: Path, output: Path) -> None:
    """Write a bootable, compressed qcow2 to `output`, using the folder `work` on the way."""
    disk = work / "disk.raw"
    _write_sparse(disk, ROOT_START_MB + ROOT_MB)
    run_command(["sfdisk", "-q", disk], stdin=partition_table())
    _write_at(disk, MBR_CODE, 0)
    _write_at(disk, _boot_partition(kernel, initramfs, work), BOOT_START_MB * MIB)
    _write_at(disk, _root_partition(root, work), ROOT_START_MB * MIB)
    run_command(["qemu-img", "convert", "-c", "-O", "qcow2", disk, output])


def partition_table() -> str:
    """Return the partition table as sfdisk reads it; FAT16 (type 6) is what syslinux can boot."""
    boot = f"start={BOOT_START_MB * SECTORS_PER_MB},size={BOOT_MB * SECTORS_PER_MB}"
    root = f"start={ROOT_START_MB * SECTORS_PER_MB},size={ROOT_MB * SECTORS_PER_MB}"
    return f"label: dos\n{boot},type=6,bootable\n{root},type=83\n"


def _boot_partition(kernel: Kernel, initramfs: Path, work: Path) -> Path:
    partition = work / "boot.fat"
    _write_sparse(partition, BOOT_MB)
    hidden_sectors = str(BOOT_START_MB * SECTORS_PER_MB)
    run_command(["mkfs.vfat", "-F", "16", "-n", "BOOT", "-h", hidden_sectors, partition])
    run_command(["mcopy", "-i", partition, kernel.image, "::/vmlinuz"])
    run_command(["mcopy", "-i", partition, initramfs, "::/initrd.gz"])
    run_command(["mcopy", "-i", partition, TEMPLATES / "syslinux.cfg", "::/syslinux.cfg"])
    run_command(["syslinux", "--install", partition])
    return partition


def _root_partition(root: Path, work: Path) -> Path:
    partition = work / "root.ext4"
    _write_sparse(partition, ROOT_MB)
    # A journal, so that a server that loses its power keeps its files.
    run_command(["mkfs.ext4", "-q", "-L", "root", "-J", "size=4", "-d", root, partition])
    return partition


def _write_sparse(path: Path, size_mb: int) -> None:
    with path.open("wb") as handle:
        handle.truncate(size_mb * MIB)


def _write_at(disk: Path, source: Path, offset: int) -> None:
    with disk.open("r+b") as target, source.open("rb") as data:
        target.seek(offset)
        shutil.copyfileobj(data, target, MIB)
