"""The public list of what can be refused, one class per cause.

Each API renders these in its own dialect. A message says what was refused, on what, why, and the
way out; it is shown to tenants, so it never names a host, a path or a playbook. What operators
need beyond that goes into `details`, which is kept and logged but not shown to tenants.
"""

from typing import Any


class NovellaError(Exception):
    """Any refusal. `status` is the HTTP status that fits it in every dialect; `retry_after_s`, if
    there is one, says when the next try may go better.
    """

    status = 500
    title = "Internal Server Error"
    retry_after_s: int | None = None

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class BadRequest(NovellaError):
    status = 400
    title = "Bad Request"


class Unauthorized(NovellaError):
    status = 401
    title = "Unauthorized"


class Forbidden(NovellaError):
    status = 403
    title = "Forbidden"


class QuotaExceeded(Forbidden):
    """A project asks for more than its quota leaves."""


class NotFound(NovellaError):
    status = 404
    title = "Not Found"

    @classmethod
    def of(cls, noun: str, name: object) -> "NotFound":
        """Return the refusal for a `noun` that is absent, or that is another project's."""
        return cls(f"No {noun} {name} was found. Check the id or name, and the project in use.")


class NotAcceptable(NovellaError):
    status = 406
    title = "Not Acceptable"


class Conflict(NovellaError):
    status = 409
    title = "Conflict"


class NameTaken(Conflict):
    """Another resource has this name where names are to be unique."""


class InvalidState(Conflict):
    """The resource is in a state in which this action is not allowed."""


class InUse(Conflict):
    """The resource can't go while others depend on it."""


class ConcurrentUpdate(Conflict):
    """Somebody else changed the same row first; the caller may try again."""


class Gone(NovellaError):
    status = 410
    title = "Gone"


class TooLarge(NovellaError):
    status = 413
    title = "Request Entity Too Large"


class StorageFull(TooLarge):
    """The image store has no room for it."""


class ImageQuotaExceeded(TooLarge):
    """A project would have more images than its quota leaves; Glance answers 413 to that."""


class UnsupportedMediaType(NovellaError):
    status = 415
    title = "Unsupported Media Type"


class TooManyRequests(NovellaError):
    """Tried too often."""

    status = 429
    title = "Too Many Requests"

    def __init__(self, message: str, retry_after_s: int, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after_s = retry_after_s


class NotBuilt(NovellaError):
    """A path of the published API that this release does not have yet."""

    status = 501
    title = "Not Implemented"


class Unavailable(NovellaError):
    """Something that the request needs is away for now; trying again later may work."""

    status = 503
    title = "Service Unavailable"


class QueueFull(Unavailable):
    """More work waits than the cloud takes on."""

    retry_after_s = 10


class NoValidHost(NovellaError):
    """No host can take the server. `details['rejected']` has each filter's count."""


class OperationRefused(NovellaError):
    """An operator's hook has failed before anything was done; the message is in its words."""


class HostFailed(NovellaError):
    """A run on a host failed. `unreachable` says that nothing is known of the host."""

    def __init__(self, message: str, *, unreachable: bool = False, **details: Any) -> None:
        super().__init__(message, **details)
        self.unreachable = unreachable
