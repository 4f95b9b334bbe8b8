"""Build the tiny guest: a 20 MB qcow2 that boots in seconds without KVM, from Debian packages."""

import hashlib
import tempfile
from pathlib import Path

from lab.command import require_root, run_command
from lab.guest_disk import write_disk
from lab.guest_kernel import cached_package, unpack
from lab.guest_root import TEMPLATES, build_initramfs, build_root
from lab.locking import making
from lab.progress import step

# What the image is made of, besides the kernel: a new version of one makes a new image.
INPUT_PACKAGES = (
    *("busybox-static", "dropbear-bin", "qemu-guest-agent", "libc6", "libglib2.0-0*"),
    *("syslinux", "syslinux-common", "e2fsprogs", "dosfstools"),
)
SOURCES = ("guest_image.py", "guest_root.py", "guest_kernel.py", "guest_disk.py")


def ensure_image(output: Path) -> bool:
    """Make the image at `output` unless it is there, made of the same inputs; tell if it was made.

    Beside it stand `<output>.inputs`, the digest of what it was made of, and `kernel/`, the kernel
    package. Raises LabError when a tool is missing or the kernel can't be fetched. Who asks while
    another makes it waits, and finds it made.
    """
    require_root("build the guest image")  # so that the guest's files belong to its root
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with making(output):
        return _ensure_image(output)


def _ensure_image(output: Path) -> bool:
    with step("fetch the guest's kernel package, if it is not here"):
        package = cached_package(output.parent / "kernel")
    digest = inputs_digest(package)
    record = output.with_name(f"{output.name}.inputs")
    if output.exists() and record.exists() and record.read_text(encoding="utf-8") == digest:
        print(f"lab: guest image {output} is up to date", flush=True)
        return False
    with step(f"build guest image {output}"):
        _build(package, output)
    record.write_text(digest, encoding="utf-8")
    return True


def inputs_digest(package: Path) -> str:
    """Return a digest of all that decides the image's content: packages, templates, our code."""
    digest = hashlib.sha256(package.name.encode())
    query = ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *INPUT_PACKAGES]
    digest.update(run_command(query).encode())
    here = Path(__file__).parent
    for path in (*sorted(TEMPLATES.iterdir()), *(here / name for name in SOURCES)):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _build(package: Path, output: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".guest-", dir=output.parent) as folder:
        work = Path(folder)
        kernel = unpack(package, work / "kernel")
        initramfs = build_initramfs(kernel, work)
        root = build_root(kernel, work)
        image = work / "image.qcow2"
        write_disk(kernel, initramfs, root, work, image)
        image.replace(output)
