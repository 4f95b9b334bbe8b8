"""Key files: made once, readable by the controller alone.

`keys/tokens/<number>` are the Fernet keys of tokens: the highest number writes, all of them read,
so that a new key can be put beside the old one until the last token of the old one has expired.
`keys/sealing` is the key of operations' secrets (see core.sealing).
"""

import os
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet

from controller.errors import Unavailable
from controller.settings import Settings


def make_state_dirs(settings: Settings) -> None:
    """Create what the controller keeps its state in, each folder for its own user alone."""
    for folder in (
        settings.state_dir,
        settings.keys_dir,
        settings.keys_dir / "tokens",
        settings.images_dir,
        settings.run_dir,
    ):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_keys(settings: Settings) -> None:
    """Create the keys that are missing; one that is there stays as it is."""
    make_state_dirs(settings)
    tokens = settings.keys_dir / "tokens"
    if not any(tokens.iterdir()):
        _write_new(tokens / "1", Fernet.generate_key())
    _write_new(settings.keys_dir / "sealing", Fernet.generate_key())


def token_fernet(settings: Settings) -> MultiFernet:
    """Return what encrypts and decrypts tokens. A key added meanwhile needs no restart."""
    folder = settings.keys_dir / "tokens"
    try:
        changed = folder.stat().st_mtime_ns
    except FileNotFoundError as error:
        raise Unavailable("No token keys are there yet. Run `novella db upgrade`.") from error
    return _token_fernet(folder, changed)


@lru_cache(maxsize=4)
def _token_fernet(folder: Path, _changed: int) -> MultiFernet:
    numbers = sorted(
        (int(path.name) for path in folder.iterdir() if path.name.isdigit()), reverse=True
    )
    if not numbers:
        raise Unavailable("No token keys are there yet. Run `novella db upgrade`.")
    return MultiFernet([Fernet((folder / str(number)).read_bytes().strip()) for number in numbers])


def _write_new(path: Path, content: bytes) -> None:
    """Write `content` unless the file is there; two processes that race agree on the first."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
