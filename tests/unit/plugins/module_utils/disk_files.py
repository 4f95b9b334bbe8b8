"""What the tests of disks share: ids, sizes, and images as qemu-img makes them."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

SERVER_ID = "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
IMAGE_ID = "0b7a3d52-6a0c-4a54-8f0a-6a1f4a9a0c11"
MIB = 1 << 20


def qemu_img(*arguments: object) -> str:
    done = subprocess.run(
        ["qemu-img", *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return done.stdout


def base_of(path: Path, image_format: str = "qcow2", **changes: Any) -> dict[str, Any]:
    """The parameter `base` for an image file that is on this host."""
    content = path.read_bytes()
    return {
        "image_id": IMAGE_ID,
        "format": image_format,
        "checksum": "sha256:" + hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "virtual_size_bytes": None,
        "source": str(path),
    } | changes
