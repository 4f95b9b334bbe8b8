"""Secrets that must outlive a request (an admin password, a server's user data), kept encrypted.

The key is a file beside the token keys, readable by the controller alone; the database by itself
gives nothing away.
"""

import json
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet

from controller.errors import Unavailable
from controller.settings import Settings


def seal(settings: Settings, secrets: dict[str, str]) -> bytes:
    """Return `secrets` encrypted."""
    return _fernet(settings.keys_dir / "sealing").encrypt(json.dumps(secrets).encode())


def unseal(settings: Settings, sealed: bytes | None) -> dict[str, str]:
    """Return what `seal` was given; an empty dictionary for None."""
    if sealed is None:
        return {}
    secrets: dict[str, str] = json.loads(_fernet(settings.keys_dir / "sealing").decrypt(sealed))
    return secrets


def seal_user_data(settings: Settings, user_data: str | None) -> bytes | None:
    """Return a server's user data (base64, as the API has it) encrypted; None for none."""
    return seal(settings, {"user_data": user_data}) if user_data else None


@lru_cache(maxsize=4)
def _fernet(path: Path) -> Fernet:
    if not path.exists():
        raise Unavailable(
            f"Cannot read {path}: no such key. Run `novella db upgrade`, which makes it."
        )
    return Fernet(path.read_bytes().strip())
