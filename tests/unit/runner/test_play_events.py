"""What hosts say, as it is handed on."""

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
        {"id": "s1", "steps": [{"name": "nul ?", "msg": "half ? a character", "?": 1}]}
    ]
    assert result.message == "Apply: ??"
