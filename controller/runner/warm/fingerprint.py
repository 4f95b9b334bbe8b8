"""Whether what the server imported is still what is on disk.

Playbooks, roles and inventories are read anew for each run, and so need no watching. What does:
every file that a module was imported from (Ansible's, its libraries', our plugins', and our own),
the configuration, the plugins that module archives are built from, the folders in which a new
plugin or package would appear, and the interpreter.
"""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Of a file: time of its last change, size and inode. Of a folder: the names in it; its time also
# changes when Python writes down what it compiled. None for what isn't there.
Stamp = tuple[int, int, int] | frozenset[str] | None


@dataclass(frozen=True)
class Fingerprint:
    """The stamps of files and folders, taken at one time."""

    stamps: dict[str, Stamp]

    def changed(self) -> str | None:
        """Return a path that isn't as it was, None when all are."""
        for path, stamp in self.stamps.items():
            if _stamp(path) != stamp:
                return path
        return None

    def changed_since(self, began_ns: int) -> str | None:
        """Return a file that was changed at or after `began_ns`, nanoseconds since the epoch."""
        for path, stamp in self.stamps.items():
            if isinstance(stamp, tuple) and stamp[0] >= began_ns:
                return path
        return None


def take(project_dir: Path, config: str) -> Fingerprint:
    """Return the fingerprint of what is imported now, and of the project's plugins."""
    paths = {config, os.path.realpath(sys.executable)}
    paths.update(_imported())
    paths.update(entry for entry in sys.path if entry)
    paths.update(_plugins(project_dir))
    return Fingerprint({path: _stamp(path) for path in paths})


def _imported() -> Iterator[str]:
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str):
            yield path


def _plugins(project_dir: Path) -> Iterable[str]:
    """Yield the project's plugins and their folders; and where collections are found."""
    folders = [project_dir / "plugins", project_dir / "collections" / "ansible_collections"]
    yield from map(str, folders)
    for folder, below, files in os.walk(folders[0]):
        below[:] = [name for name in below if name != "__pycache__"]
        yield folder
        yield from (f"{folder}/{name}" for name in files)
    for namespace in _entries(folders[1]):
        yield namespace
        yield from _entries(Path(namespace))


def _entries(folder: Path) -> list[str]:
    return [str(path) for path in folder.iterdir()] if folder.is_dir() else []


def _stamp(path: str) -> Stamp:
    try:
        # Not by pathlib: these are a thousand, before each run.
        found = os.stat(path)  # noqa: PTH116
        if stat.S_ISDIR(found.st_mode):
            return frozenset(os.listdir(path)) - {"__pycache__"}  # noqa: PTH208
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
