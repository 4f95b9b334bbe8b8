"""Pid 1 of a lab host: builds the host's root in fresh namespaces, then becomes s6-svscan.

Run as a file by the machine's own python3 (standard library only, nothing of `lab` imported), with
the path of a spec: JSON with `hostname`, `root` (an empty folder), `disk` (the folder of the
host's persistent files), `persistent` (folders below it to mount), `shared` (a folder that all
hosts see at /srv/shared), `disk_image` (a file system for /var/lib/novella, or null), `masked`
(folders of the machine that the host must not see) and `files` ({path: [text, mode]}).
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

# Only these folders of the machine are seen in a host, each under a layer of its own for writes:
# whatever else is on the machine (the controller's database and keys, homes) is not there at all.
LAYERED = ("usr", "etc", "var")
USR_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
OWN_FOLDERS = ("boot", "home", "media", "mnt", "opt", "root", "srv/shared", "sys", "proc")
DEVICES = (
    *("null", "zero", "full", "random", "urandom", "tty", "fuse", "net/tun"),
    *("vhost-net", "vhost-vsock", "loop-control"),
)


def main(spec_path: str) -> None:
    """Turn this process into the init of the host that the spec at `spec_path` describes."""
    spec = json.loads(Path(spec_path).read_text(encoding="utf-8"))
    os.umask(0o022)
    socket.sethostname(spec["hostname"])
    root = Path(spec["root"])
    build_root(root)
    build_dev(root / "dev")
    mount_persistent(root, spec)
    for path in spec["masked"]:
        mount("tmpfs", "tmpfs", under(root, path), "mode=700,size=1m")
    write_files(root, spec["files"])
    enter(root)
    os.execv("/usr/bin/s6-svscan", ["s6-svscan", "/run/service"])  # noqa: S606 - no shell needed


def build_root(root: Path) -> None:
    """Mount the host's root: the machine's software below, everything else empty and in memory."""
    mount("tmpfs", "lab-root", root, "mode=755,size=2g")
    layers = root / ".layers"
    layers.mkdir(mode=0o700)
    for name in LAYERED:
        upper, work, target = layers / name / "upper", layers / name / "work", root / name
        for folder in (upper, work, target):
            folder.mkdir(parents=True)
        options = f"lowerdir=/{name},upperdir={upper},workdir={work}"
        mount("overlay", "overlay", target, options)
    for name in USR_LINKS:
        link = Path("/", name)
        if link.is_symlink():
            (root / name).symlink_to(link.readlink())
    for name in OWN_FOLDERS:
        (root / name).mkdir(parents=True)
    (root / "root").chmod(0o700)
    mount("proc", "proc", root / "proc", "nosuid,nodev,noexec")
    mount("sysfs", "sysfs", root / "sys", "nosuid,nodev,noexec")
    for name, options in (("run", "mode=755,nosuid,nodev"), ("tmp", "mode=1777,nosuid,nodev")):
        (root / name).mkdir()
        mount("tmpfs", "tmpfs", root / name, options)
    (root / "run" / "lock").mkdir()


def build_dev(dev: Path) -> None:
    """Fill /dev with what a hypervisor needs, and with a terminal space of its own."""
    dev.mkdir()
    mount("tmpfs", "dev", dev, "mode=755,nosuid,size=1m")
    for name in (*DEVICES, *(["kvm"] if kvm_is_usable() else [])):
        device = Path("/dev", name)
        if device.exists():
            target = dev / name
            target.parent.mkdir(exist_ok=True)
            target.touch()
            run("mount", "--bind", str(device), str(target))
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    mount("devpts", "devpts", dev / "pts", "newinstance,ptmxmode=0666,mode=0620,gid=5")
    mount("tmpfs", "shm", dev / "shm", "mode=1777,nosuid,nodev")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0"}
    links |= {"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
    for name, target_text in links.items():
        (dev / name).symlink_to(target_text)


def kvm_is_usable() -> bool:
    """Return whether the CPU can run guests. /dev/kvm alone proves nothing: it may hang a guest."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return Path("/dev/kvm").exists() and ("vmx" in flags or "svm" in flags)


def mount_persistent(root: Path, spec: dict[str, Any]) -> None:
    """Mount the host's own disk folders, and the folder that all hosts share."""
    for name in spec["persistent"]:
        target = root / name
        target.mkdir(parents=True, exist_ok=True)
        if name == "var/lib/novella" and spec["disk_image"]:
            run("mount", "-o", "loop", spec["disk_image"], str(target))
        else:
            run("mount", "--bind", str(Path(spec["disk"], name)), str(target))
    run("mount", "--bind", spec["shared"], str(root / "srv" / "shared"))


def write_files(root: Path, files: dict[str, list[Any]]) -> None:
    """Write the host's files; a link of the machine's in their place is replaced, not followed."""
    for name, (text, mode) in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
    (root / "root" / ".ssh").chmod(0o700)


def enter(root: Path) -> None:
    """Make `root` the root of this mount namespace, and forget the machine's."""
    old = root / "old"
    old.mkdir()
    os.chdir(root)
    run("pivot_root", ".", "old")
    os.chdir("/")
    run("umount", "--lazy", "/old")
    shutil.rmtree("/old")


def under(root: Path, path: str) -> Path:
    """Return where the machine's absolute `path` is below `root`."""
    return root / path.lstrip("/")


def mount(kind: str, source: str, target: Path, options: str) -> None:
    """Mount a file system of this kind."""
    run("mount", "-t", kind, "-o", options, source, str(target))


def run(*argv: str) -> None:
    """Run a program; its failure ends the host, with the reason in its log."""
    subprocess.run(argv, check=True)


if __name__ == "__main__":
    main(sys.argv[1])
