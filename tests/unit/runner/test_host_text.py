"""What hosts say is kept as text that can be kept."""

import json
import sqlite3

import pytest

from controller.runner.host_text import keepable
from controller.runner.requests import FAILED, OK, HostResult, RunResult


def test_text_that_can_be_kept_stays_as_it_is() -> None:
    said = {"msg": "gr\u00fc\u00df \U0001f600\n{{ 7*7 }}", "changed": True, "sizes": [1, 2.5, None]}
    assert keepable(said) == said


def test_what_no_database_takes_is_replaced() -> None:
    said = {"a\ud800": ["x\x00y", {"deep": b"\xff".decode(errors="surrogateescape")}], "n": 1e999}
    kept = keepable(said)
    assert kept == {"a\ufffd": ["x\ufffdy", {"deep": "\ufffd"}], "n": None}
    sqlite3.connect(":memory:").execute("select ?", [kept["a\ufffd"][1]["deep"]])
    assert json.dumps(kept, allow_nan=False)


def test_no_depth_is_too_deep() -> None:
    said: list[object] = []
    for _ in range(5000):
        said = [said]
    assert len(str(keepable(said))) < 100


@pytest.mark.parametrize("host", ["one", "two"])
def test_every_reader_of_a_run_gets_it_so(host: str) -> None:
    said = HostResult(OK, [{"id": "\ud800"}], {"cpus": "\x00"}, "\ud800")
    found = RunResult(FAILED, {"one": said}, message="\ud800").of(host)
    assert found.message == "\ufffd"
    if host == "one":
        assert (found.items, found.facts) == ([{"id": "\ufffd"}], {"cpus": "\ufffd"})
