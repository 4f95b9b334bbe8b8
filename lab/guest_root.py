"""The tiny guest's files: an initramfs that finds the root, and the root with its few programs."""

import gzip
import re
import shutil
from pathlib import Path

from lab.command import run_command
from lab.errors import LabError
from lab.guest_kernel import Kernel, copy_modules

TEMPLATES = Path(__file__).with_name("guest")

# Named in guest/initramfs-init too, in the order it tries them.
INITRAMFS_MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "ata_piix", "ext4")
ROOT_MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "virtio_console"),
    *("virtio_balloon", "virtio-rng", "sd_mod", "sr_mod", "ata_piix", "isofs", "vfat"),
    *("nls_cp437", "nls_ascii", "nls_utf8", "nls_iso8859-1", "evdev", "button"),
)

# Template under guest/ -> its path in the guest and its permissions.
ROOT_FILES = {
    "inittab": ("etc/inittab", 0o644),
    "rc": ("etc/rc", 0o755),
    "rc.final": ("etc/rc.final", 0o755),
    "dhcp": ("etc/dhcp", 0o755),
    "udhcpc.sh": ("etc/udhcpc.sh", 0o755),
    "metadata": ("etc/metadata", 0o755),
    "json.awk": ("etc/json.awk", 0o644),
    "guest-agent": ("etc/guest-agent", 0o755),
    "hotplug": ("etc/hotplug", 0o755),
    "power-button": ("etc/acpi/PWRF/00000080", 0o755),
    "os-release": ("etc/os-release", 0o644),
    "chpasswd": ("bin/chpasswd", 0o755),
}
ROOT_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/shells": "/bin/sh\n",
    "etc/hostname": "novella-guest\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/modules": "".join(f"{name}\n" for name in ROOT_MODULES),
}
PROGRAMS = ("dropbear", "dropbearkey", "qemu-ga")
FOLDERS = (
    *("bin", "dev", "etc/dropbear", "home", "lib", "mnt", "proc", "root", "run", "sys", "tmp"),
    *("usr", "var/lib/init", "var/log"),
)
# Applets that would stand in the way of a program or file of ours with the same name.
UNWANTED_APPLETS = ("busybox", "init", "chpasswd")


def build_initramfs(kernel: Kernel, work: Path) -> Path:
    """Return a gzipped cpio archive, made below the folder `work`, that boots into the root."""
    tree = work / "initramfs"
    for folder in ("bin", "dev", "mnt", "proc", "sys"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(program("busybox"), tree / "bin/busybox")
    for applet in ("modprobe", "sh"):
        (tree / "bin" / applet).symlink_to("busybox")
    copy_modules(kernel, INITRAMFS_MODULES, tree)
    _copy_template("initramfs-init", tree / "init", 0o755)
    names = "\n".join(sorted(str(path.relative_to(tree)) for path in tree.rglob("*")))
    archive, raw = work / "initrd.gz", work / "initrd"
    run_command(["cpio", "-o", "-H", "newc", "--quiet", "-F", raw], stdin=names, cwd=tree)
    archive.write_bytes(gzip.compress(raw.read_bytes(), 9, mtime=0))
    return archive


def build_root(kernel: Kernel, work: Path) -> Path:
    """Return a folder below `work` with the guest's root file system."""
    root = work / "root"
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    for link, target in (("sbin", "bin"), ("usr/bin", "../bin"), ("usr/sbin", "../bin")):
        (root / link).symlink_to(target)
    (root / "var/run").symlink_to("../run")
    _install_busybox(root)
    for name in PROGRAMS:
        _install_program(program(name), root)
    for name, (path, mode) in ROOT_FILES.items():
        _copy_template(name, root / path, mode)
    for path, text in ROOT_TEXTS.items():
        (root / path).write_text(text, encoding="utf-8")
    shadow = root / "etc/shadow"
    shadow.write_text("root:*:19000:0:99999:7:::\n", encoding="utf-8")
    shadow.chmod(0o600)
    (root / "root").chmod(0o700)
    copy_modules(kernel, ROOT_MODULES, root)
    return root


def program(name: str) -> Path:
    """Return where a program is on this machine; raise LabError when it is missing."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise LabError(
            f"Cannot build the guest image: {name} is not installed. "
            "Run `python3 -m lab packages` as root."
        )
    return Path(found)


def _install_busybox(root: Path) -> None:
    busybox = program("busybox")
    shutil.copy(busybox, root / "bin/busybox")
    for applet in run_command([busybox, "--list"]).split():
        if applet not in UNWANTED_APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
    (root / "bin/init").symlink_to("busybox")


def _install_program(path: Path, root: Path) -> None:
    """Copy a program and each library that the loader would load for it, where the loader looks."""
    shutil.copy(path, root / "bin" / path.name)
    for library in re.findall(r"(/\S+) \(0x", run_command(["ldd", path])):
        copy = root / library.removeprefix("/usr").lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, copy)


def _copy_template(name: str, path: Path, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(TEMPLATES / name, path)
    path.chmod(mode)
