"""The tiny guest's kernel: Debian's cloud kernel, fetched by apt and unpacked, never installed."""

import lzma
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.command import run_command
from lab.errors import LabError

META_PACKAGE = "linux-image-cloud-amd64"


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel package. `tree` holds boot/ and lib/modules/<version>/."""

    version: str
    tree: Path

    @property
    def image(self) -> Path:
        """The kernel proper."""
        return self.tree / "boot" / f"vmlinuz-{self.version}"


def cached_package(cache: Path) -> Path:
    """Return the kernel's .deb in `cache`; fetch the one that the machine's Debian has now if none.

    A newer kernel is taken once the old .deb is removed from the cache.
    """
    found = sorted(cache.glob("linux-image-*.deb"))
    if found:
        return found[-1]
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="novella-kernel-") as folder:
        # apt fetches as its own user, which can't enter a private folder.
        shutil.chown(folder, "_apt")
        name = _current_package()
        run_command(["apt-get", "-q", "download", name], cwd=Path(folder))
        (package,) = Path(folder).glob("*.deb")
        return Path(shutil.move(package, cache / package.name))


def unpack(package: Path, tree: Path) -> Kernel:
    """Return the kernel unpacked from its .deb into the new folder `tree`, modules indexed."""
    run_command(["dpkg", "-x", package, tree])
    modules = next(
        path for path in (tree / "lib/modules", tree / "usr/lib/modules") if path.is_dir()
    )
    if modules.parent.parent.name == "usr":  # Debian 13 ships them below /usr/lib
        (tree / "lib").symlink_to("usr/lib")
    (version_dir,) = (tree / "lib/modules").iterdir()
    run_command(["depmod", "-b", tree, version_dir.name])
    return Kernel(version_dir.name, tree)


def copy_modules(kernel: Kernel, names: Iterable[str], root: Path) -> None:
    """Copy these modules, and those they need, into the guest folder `root`, indexed for modprobe.

    What the kernel has built in is left out. Compressed ones are unpacked: the guest's own
    modprobe can't read all forms.
    """
    target = root / "lib/modules" / kernel.version
    target.mkdir(parents=True)
    for name in names:
        for path in _with_dependencies(kernel, name):
            copy = root / path.relative_to(kernel.tree)
            copy.parent.mkdir(parents=True, exist_ok=True)
            _copy_unpacked(path, copy)
    for index in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(kernel.tree / "lib/modules" / kernel.version / index, target / index)
    run_command(["depmod", "-b", root, kernel.version])


def _current_package() -> str:
    for line in run_command(["apt-cache", "depends", META_PACKAGE]).splitlines():
        kind, _, package = line.strip().partition(": ")
        if kind == "Depends" and package.startswith("linux-image-"):
            return package
    raise LabError(
        f"Cannot fetch the guest's kernel: apt does not know {META_PACKAGE}. Run `apt-get update`."
    )


def _with_dependencies(kernel: Kernel, name: str) -> list[Path]:
    where = ("-d", str(kernel.tree), "-S", kernel.version)
    printed = run_command(["modprobe", *where, "--show-depends", name])
    words = [line.split() for line in printed.splitlines()]
    return [_inside(kernel, line[1]) for line in words if line[0] == "insmod"]


def _inside(kernel: Kernel, path: str) -> Path:
    # modprobe prints "<tree>//lib/modules/..." or, on a merged tree, ".../usr/lib/modules/...".
    _, _, below = path.partition("/lib/modules/")
    return kernel.tree / "lib/modules" / below


def _copy_unpacked(path: Path, copy: Path) -> None:
    if path.suffix == ".xz":  # as Debian 13 ships them
        copy.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
    else:
        shutil.copyfile(path, copy)
