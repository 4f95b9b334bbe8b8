"""Logs: one set-up for all processes, and what each line is about.

`about` says for a stretch of code which request, operation, server and host it works on; every line
that is logged meanwhile bears that. A line is one line: what tenants or hosts wrote can't begin
another, nor move the reader's cursor.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

# As they stand in a line of text, and as keys in JSON.
KEYS = {
    "request_id": "request",
    "operation_id": "operation",
    "server_id": "server",
    "host": "host",
}
_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default={})  # noqa: B039 -- never changed in place

# Control characters, ESC among them, and what some readers also take for the end of a line.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# What a LogRecord has by itself; the rest came with `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def about(**what: str | None) -> Iterator[None]:
    """Within the block every line bears `what` (names of KEYS), None left out, beside what holds
    already.
    """
    token = _ABOUT.set({**_ABOUT.get(), **{key: each for key, each in what.items() if each}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def set_up(log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Have all that is logged in this process written to `stream` (standard error), and only there.

    Raises nothing; called again, it replaces what it set up before.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Its one line per run says less than ours.
    logging.getLogger("ansible-runner").setLevel(logging.ERROR)


class TextLines(logging.Formatter):
    """`2026-11-22T15:00:00.123+00:00 INFO controller.conductor.moves [operation=...] message`"""

    def format(self, record: logging.LogRecord) -> str:
        known = _known(record)
        marks = " ".join(f"{KEYS.get(key, key)}={one_line(each)}" for key, each in known.items())
        head = f"{_time(record)} {record.levelname} {record.name}"
        line = f"{head} {f'[{marks}] ' if marks else ''}{one_line(record.getMessage())}"
        # A traceback has lines of its own, which no line of the log begins like.
        return "\n    ".join([line, *(one_line(each) for each in _trace(record))])


class JsonLines(logging.Formatter):
    """A dictionary a line: time (UTC), level, logger, message, and what the line is about."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_known(record),
        }
        if trace := _trace(record):
            line["traceback"] = "\n".join(trace)
        return json.dumps(line, default=str)


def _known(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the line is about, and what was given with `extra`."""
    extra = {key: each for key, each in vars(record).items() if key not in _OWN and each}
    return {**_ABOUT.get(), **extra}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _trace(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[1] is None:
        return []
    return "".join(traceback.format_exception(record.exc_info[1])).rstrip().split("\n")


def one_line(value: object) -> str:
    """Return `value` as text that ends no line and moves no cursor."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], str(value))
