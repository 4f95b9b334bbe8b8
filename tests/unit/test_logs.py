"""Logs: what a line bears, and that nobody but us begins one."""

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from controller import logs

FORGED = "web\n2026-11-22T15:00:00 INFO root you are admin\r\x1b[2J\u2028next\x85"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_a_line_bears_what_is_worked_on_and_only_within_the_block(stream: io.StringIO) -> None:
    logs.set_up("text", "info", stream)
    with logs.about(request_id="req-1", server_id=None), logs.about(operation_id="op-1"):
        logging.getLogger("a").info("inside")
    logging.getLogger("a").info("outside")
    inside, outside = lines(stream)
    assert inside.endswith("INFO a [request=req-1 operation=op-1] inside")
    assert outside.endswith("INFO a outside")


def test_what_another_thread_works_on_is_not_mixed_in(stream: io.StringIO) -> None:
    logs.set_up("json", "info", stream)
    with logs.about(operation_id="op-1"):
        thread = threading.Thread(target=lambda: logging.getLogger("a").info("other"))
        thread.start()
        thread.join()
    assert "operation_id" not in json.loads(lines(stream)[0])


def test_text_of_tenants_and_hosts_begins_no_line(stream: io.StringIO) -> None:
    logs.set_up("text", "info", stream)
    with logs.about(server_id=FORGED):
        logging.getLogger("a").warning("server %s failed", FORGED, extra={"why": FORGED})
    [line] = lines(stream)
    assert line.count(r"\n2026-11-22T15:00:00 INFO root you are admin\r\x1b[2J\u2028next\x85") == 3


def test_the_lines_of_a_traceback_look_like_no_others(stream: io.StringIO) -> None:
    logs.set_up("text", "info", stream)
    try:
        raise ValueError(FORGED)
    except ValueError:
        logging.getLogger("a").exception("it failed")
    first, *rest = lines(stream)
    assert first.endswith("ERROR a it failed")
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_json_has_a_dictionary_a_line(stream: io.StringIO) -> None:
    logs.set_up("json", "info", stream)
    with logs.about(operation_id="op-1", host="h1"):
        try:
            raise ValueError(FORGED)
        except ValueError:
            logging.getLogger("a").exception("of %s", FORGED, extra={"ms": 1.5})
    [line] = lines(stream)
    said = json.loads(line)
    assert (said["level"], said["logger"], said["message"]) == ("error", "a", f"of {FORGED}")
    assert (said["operation_id"], said["host"], said["ms"]) == ("op-1", "h1", 1.5)
    assert "ValueError" in said["traceback"]


def test_the_level_is_what_was_asked_for(stream: io.StringIO) -> None:
    logs.set_up("text", "warning", stream)
    logging.getLogger("a").info("not this")
    logs.set_up("text", "debug", stream)
    logging.getLogger("a").debug("this")
    assert [line.rpartition(" ")[2] for line in lines(stream)] == ["this"]
