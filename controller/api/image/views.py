"""Rows in Glance's shapes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from controller.db.models import Image


def image(row: Image, tags: Sequence[str]) -> dict[str, Any]:
    """Return an image with its properties flattened in; the attributes win over them."""
    return {
        **row.properties,
        "id": row.id,
        "name": row.name,
        "status": row.status,
        "visibility": row.visibility,
        "owner": row.project_id,
        "disk_format": row.disk_format,
        "container_format": row.container_format,
        "size": row.size_bytes,
        "virtual_size": row.virtual_size_bytes,
        "checksum": row.checksum,
        "os_hash_algo": "sha512" if row.sha512 else None,
        "os_hash_value": row.sha512,
        "min_disk": row.min_disk_gb,
        "min_ram": row.min_memory_mb,
        "protected": row.protected,
        "os_hidden": row.hidden,
        "tags": list(tags),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "self": f"/v2/images/{row.id}",
        "file": f"/v2/images/{row.id}/file",
        "schema": "/v2/schemas/image",
    }


def moment(value: datetime) -> str:
    """Return a time as Glance writes it, to the second."""
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")
