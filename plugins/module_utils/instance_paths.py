"""Where a server's files and the shared base images lie on a host.

`<state_path>/instances/<server uuid>/` holds a server's own files, `instances/_base/` what servers
share, `instances/_base/locks/` the lock files (on the same filesystem, so that they hold where the
instances are on shared storage).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from . import work

STATE_PATH = "/var/lib/novella"

# QEMU runs as its own user: it must get through the folders, and need not list them.
DIRECTORY_MODE = 0o711
DISK_MODE = 0o600

# `disk`, `disk.local`, `disk.swap`, `disk.eph0`; not what else lies in the folder.
DISK_NAME_RE = re.compile(r"disk(\.[a-z0-9]+)*")
OTHER_NAMES = frozenset({"disk.info", "disk.config"})


@dataclass(frozen=True)
class InstancePaths:
    """The paths below one `state_path` (absolute)."""

    state_path: str = STATE_PATH

    @property
    def instances(self) -> str:
        return os.path.join(self.state_path, "instances")

    @property
    def base(self) -> str:
        return os.path.join(self.instances, "_base")

    @property
    def locks(self) -> str:
        return os.path.join(self.base, "locks")

    def instance(self, server_id: str) -> str:
        """The folder of a server. Raises WorkError when `server_id` is no UUID."""
        return os.path.join(self.instances, work.check_uuid(server_id, "server id"))

    def make_base_directories(self) -> None:
        for path in (self.state_path, self.instances, self.base, self.locks):
            make_directory(path)

    def check_file(self, path: str, what: str) -> str:
        """Return the server's id out of `path`, `<state_path>/instances/<uuid>/<name>`.

        Raises WorkError for any other path, so that nothing outside the servers' own folders is
        ever made or removed.
        """
        folder, name = os.path.split(path)
        parent, server_id = os.path.split(folder)
        if parent != self.instances or not work.UUID_RE.fullmatch(server_id) or not name:
            raise work.WorkError(
                f"Refused the {what} {path!r}: it is not in the folder of a server. Give "
                f"{self.instances}/<server uuid>/<name>, or another state_path."
            )
        return server_id

    def check_disk(self, path: str) -> str:
        """Return the server's id out of the path of one of its disks; see `check_file`."""
        server_id = self.check_file(path, "disk")
        name = os.path.basename(path)
        if not DISK_NAME_RE.fullmatch(name) or name in OTHER_NAMES:
            raise work.WorkError(
                f"Refused the disk {path!r}: {name!r} is not the name of a disk. Use disk, "
                "disk.local, disk.swap or disk.<lower-case letters and digits>."
            )
        return server_id


def make_directory(path: str) -> bool:
    """Make the folder `path`, and those above it, mode 0711; return whether it was missing.

    One that is there but that QEMU could not get through, made under a strict umask, is opened.
    """
    try:
        if os.path.isdir(path):
            if os.stat(path).st_mode & DIRECTORY_MODE != DIRECTORY_MODE:
                os.chmod(path, DIRECTORY_MODE)
            return False
        os.makedirs(path, exist_ok=True)
        os.chmod(path, DIRECTORY_MODE)
    except OSError as error:
        raise work.WorkError(f"Cannot make the folder {path}: {error.strerror}.") from error
    return True


def sync_directory(path: str) -> None:
    """Make a rename in the folder `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
