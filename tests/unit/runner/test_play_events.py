"""What hosts say, as it is handed on."""

from typing import Any

from controller.runner.play_events import PlayEvents


def test_text_that_no_database_takes_is_replaced() -> None:
    events = PlayEvents({"h1": "id-1"})
    step = {"name": "nul \0", "msg": "half \ud800 a character", "\0": 1}
    events.take(
        {
            "event": "runner_on_failed",
            "event_data": {
                "host": "h1", "task": "Apply", "task_action": "novella.cloud.apply",
                "res": {"results": [{"id": "s1", "steps": [step]}], "msg": "\0\udfff"},
            },
        }
    )  # fmt: skip
    result = events.results()["id-1"]
    assert result.items == [
        {
            "id": "s1",
            "steps": [{"name": "nul \ufffd", "msg": "half \ufffd a character", "\ufffd": 1}],
        }
    ]
    assert result.message == "Apply: \ufffd\ufffd"


def test_what_is_too_deep_or_no_number_is_left_out_as_by_every_other_reader() -> None:
    events = PlayEvents({"h1": "id-1"})
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    item = {"id": "s1", "steps": deep, "seconds": float("inf")}
    event = {"host": "h1", "task_action": "novella.cloud.apply", "res": {"results": [item]}}
    events.take({"event": "runner_on_ok", "event_data": event})
    result = events.results()["id-1"]
    assert result.items[0]["seconds"] is None
    assert len(str(result.items)) < 200
