"""The examples fit each other; tests/integration/test_playbooks_by_hand.py runs them."""

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
# What AWX's surveys know.
TYPES = {"text", "textarea", "password", "integer", "float", "multiplechoice", "multiselect"}
KEYS = {
    "question_name", "question_description", "type", "variable", "required", "default", "choices",
    "min", "max",
}  # fmt: skip


def server_yml() -> dict[str, Any]:
    return dict(yaml.safe_load((EXAMPLES / "server.yml").read_text()))


def test_there_are_no_examples_that_no_test_knows() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {"server.yml", "awx_survey.json"}


def test_the_survey_asks_for_what_the_example_leaves_open() -> None:
    survey = json.loads((EXAMPLES / "awx_survey.json").read_text())
    assert set(survey) == {"name", "description", "spec"}
    assert all(set(question) == KEYS and question["type"] in TYPES for question in survey["spec"])
    opened = {name for name, value in server_yml().items() if isinstance(value, str)}
    assert {question["variable"] for question in survey["spec"]} == opened
