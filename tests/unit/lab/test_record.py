"""The lab's record on disk."""

import json
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.record import LabRecord, load, load_existing, record_path, save


def test_a_saved_record_is_loaded_again(tmp_path: Path) -> None:
    record = LabRecord("demo", 7).with_host("h1", None).with_host("h2", 200)
    save(tmp_path, record)
    assert load(tmp_path) == record


def test_the_record_tells_other_readers_the_addresses(tmp_path: Path) -> None:
    save(tmp_path, LabRecord("demo", 7).with_host("h1", None))
    data = json.loads(record_path(tmp_path).read_text(encoding="utf-8"))
    assert data["external_cidr"] == "10.91.7.0/24"
    assert data["hosts"][0]["mgmt_ip"] == "10.90.7.11"
    assert data["hosts"][0]["netns"] == "novella.demo.h1"


def test_a_host_keeps_its_number_and_limit_when_named_again() -> None:
    record = LabRecord("demo", 0).with_host("h1", 100).with_host("h2", None)
    again = record.with_host("h1", None)
    assert again == record
    assert [host.number for host in again.hosts] == [11, 12]


def test_an_unknown_host_is_refused_with_those_there_are() -> None:
    with pytest.raises(LabError, match=r"no host 'h9'; it has: h1"):
        LabRecord("demo", 0).with_host("h1", None).host("h9")


def test_no_record_says_how_to_make_a_lab(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    with pytest.raises(LabError, match="python -m lab up"):
        load_existing(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 99}'])
def test_a_damaged_record_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    record_path(tmp_path).write_text(text, encoding="utf-8")
    with pytest.raises(LabError, match=r"lab\.json"):
        load(tmp_path)
