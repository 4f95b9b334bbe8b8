"""Which wake-ups there are, by the settings."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from controller.errors import BadRequest
from controller.queue.local import wake_workers
from controller.settings import Settings


class Closable(Protocol):
    def close(self) -> None: ...


def waker(settings: Settings) -> Callable[[], None]:
    """Return what wakes the workers: this machine's, and with `queue_url` also those of others."""
    local = partial(wake_workers, settings.run_dir)
    if not settings.queue_url:
        return local
    _need_dramatiq()
    from controller.queue.remote import Sender

    sender = Sender(settings.queue_url)

    def wake() -> None:
        local()
        sender.wake()

    return wake


def listener(settings: Settings) -> Closable | None:
    """Have wake-ups from other machines wake this one's workers; None without `queue_url`."""
    if not settings.queue_url:
        return None
    _need_dramatiq()
    from controller.queue.remote import Listener

    return Listener(settings.queue_url, partial(wake_workers, settings.run_dir))


def _need_dramatiq() -> None:
    try:
        import dramatiq  # noqa: F401 -- only whether it is there
        import pika  # type: ignore[import-untyped]  # noqa: F401 -- the same
    except ModuleNotFoundError as error:
        raise BadRequest(
            f"Cannot use the setting 'queue_url': Python's {error.name} is not here. To mend: "
            "pip install 'novella[rabbitmq]'."
        ) from error
