"""A host's disk: the folder on the machine's real disk that outlives its power failures."""

import shutil
from pathlib import Path

from lab.access import ensure_key, host_key
from lab.command import run_command
from lab.errors import LabError
from lab.host_files import ACCOUNTS, LIBVIRT_FOLDERS, PERSISTENT, first_boot_files
from lab.record import HostRecord, LabRecord
from lab.waiting import wait_until


def hosts_dir(lab_dir: Path) -> Path:
    """Return the folder that holds a folder per host."""
    return lab_dir / "hosts"


def disk_dir(lab_dir: Path, host: str) -> Path:
    """Return the folder of a host's persistent files, laid out as from its root."""
    return hosts_dir(lab_dir) / host / "disk"


def disk_image(lab_dir: Path, host: str) -> Path:
    """Return the file system that bounds a host's /var/lib/novella, if the host has a limit."""
    return hosts_dir(lab_dir) / host / "novella.ext4"


def prepare(lab_dir: Path, record: LabRecord, host: HostRecord, authorized_key: str) -> str:
    """Return the host's public SSH key; make its disk first when it has none yet.

    `authorized_key` is let in on a new disk.
    """
    disk = disk_dir(lab_dir, host.name)
    for folder in (*PERSISTENT, *LIBVIRT_FOLDERS):
        (disk / folder).mkdir(parents=True, exist_ok=True)
    for name, file in first_boot_files(record.names.host_uuid(host.name), authorized_key).items():
        path = disk / name
        if not path.exists():
            path.write_text(file.text, encoding="utf-8")
            path.chmod(file.mode)
    (lab_dir / "shared").mkdir(exist_ok=True)
    if host.disk_limit_mb is not None:
        _make_image(disk_image(lab_dir, host.name), host.disk_limit_mb)
    return ensure_key(host_key(disk), f"host {host.name} of lab {record.name}")


def save_accounts(lab_dir: Path, host: str, root: Path) -> None:
    """Keep the accounts of the host whose root this is, as its disk would."""
    for name in ACCOUNTS:
        source, target = root / name, disk_dir(lab_dir, host) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.exists():
            shutil.copyfile(source, target)


def saved_accounts(lab_dir: Path, host: str) -> dict[str, str]:
    """Return the text of what `save_accounts` kept, by path from the root."""
    disk = disk_dir(lab_dir, host)
    return {name: (disk / name).read_text() for name in ACCOUNTS if (disk / name).exists()}


def wait_released(lab_dir: Path, host: str) -> None:
    """Return when the kernel has let go of a dead host's disk image.

    It does so some time after the host's last process is gone; mounted a second time before that,
    the file system in it would be damaged.
    """
    image = disk_image(lab_dir, host)
    if image.exists():
        wait_until(
            lambda: image.resolve() not in _loop_files(),
            what=f"the disk image {image} is free",
            timeout_s=20,
        )


def wait_all_released(lab_dir: Path) -> None:
    """Do as wait_released for every host that ever was in the lab."""
    if hosts_dir(lab_dir).is_dir():
        for folder in hosts_dir(lab_dir).iterdir():
            wait_released(lab_dir, folder.name)


def purge(lab_dir: Path) -> None:
    """Remove the disks of all hosts and what they shared. Call it when no host runs."""
    for folder in (hosts_dir(lab_dir), lab_dir / "shared"):
        if folder.exists():
            shutil.rmtree(folder)


def _make_image(image: Path, size_mb: int) -> None:
    if not image.exists():
        partial = image.with_suffix(".partial")
        with partial.open("wb") as handle:
            handle.truncate(size_mb * 1024 * 1024)
        run_command(["mkfs.ext4", "-q", "-m", "0", partial])
        partial.rename(image)
    elif image.stat().st_size != size_mb * 1024 * 1024:
        raise LabError(
            f"Cannot give host {image.parent.name} a disk of {size_mb} MiB: it has one of "
            f"{image.stat().st_size // 1024 // 1024} MiB. Take the lab down with --purge first."
        )


def _loop_files() -> set[Path]:
    # Of a deleted file the kernel says "/path (deleted)"; such a one is nobody's image any more.
    return {
        Path(entry.read_text(encoding="utf-8").strip())
        for entry in Path("/sys/block").glob("loop*/loop/backing_file")
    }
