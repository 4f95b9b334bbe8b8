"""Times as the compute API writes and reads them."""

from datetime import UTC, datetime

from controller.errors import BadRequest


def zulu(moment: datetime) -> str:
    """Return 2026-11-22T16:00:00Z."""
    return f"{moment.isoformat(timespec='seconds')}Z"


def seconds_fraction(moment: datetime | None) -> str | None:
    """Return 2026-11-22T16:00:00.000000, as some older parts of the API have it."""
    return None if moment is None else moment.isoformat(timespec="microseconds")


def parse(value: str, name: str) -> datetime:
    """Return the time in UTC without a zone, as tables have it. A plus may have become a blank."""
    try:
        moment = datetime.fromisoformat(value.strip().replace(" ", "+") if "T" in value else value)
    except ValueError as error:
        raise BadRequest(
            f"Invalid input for query parameters {name}. {value!r} is not a date and time such as "
            "2026-11-22T16:00:00Z."
        ) from error
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError as error:
            raise BadRequest(f"Invalid input for query parameters {name}. {value!r}") from error
    return moment
