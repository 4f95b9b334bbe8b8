"""Real disks in a temporary folder, made by the same qemu-img that hosts have."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.module_utils.disk_files import MIB, SERVER_ID, qemu_img
from tests.unit.plugins.module_utils.domain_files import URI

# python3-libvirt comes from Debian, as on the hosts; last, so that it hides nothing of the venv.
DEBIAN_PACKAGES = "/usr/lib/python3/dist-packages"
if DEBIAN_PACKAGES not in sys.path:
    sys.path.append(DEBIAN_PACKAGES)


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    """A qcow2 image of 16 MiB with known bytes at its start."""
    raw, path = tmp_path / "image.raw", tmp_path / "image.qcow2"
    raw.write_bytes(b"guest data" * 1000)
    qemu_img("resize", "-q", "-f", "raw", raw, 16 * MIB)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, path)
    raw.unlink()
    return path


@pytest.fixture
def state_path(tmp_path: Path) -> Path:
    return tmp_path / "novella"


@pytest.fixture
def disk_path(state_path: Path) -> Path:
    return state_path / "instances" / SERVER_ID / "disk"


@pytest.fixture
def connection() -> Iterator[Any]:
    """The test driver's domains live as long as somebody is connected."""
    import libvirt

    connection = libvirt.open(URI)
    yield connection
    connection.close()
