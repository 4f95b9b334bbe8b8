"""Refusals of schemas: they name the field, and quote no secret."""

from typing import Any

import pytest

from controller.api.common.validation import check
from controller.errors import BadRequest

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "adminPass": {"type": "string", "maxLength": 5}},
    "additionalProperties": False,
}


def test_a_refusal_names_the_field_and_what_is_wrong() -> None:
    with pytest.raises(BadRequest, match=r"name\. 7 is not of type 'string'"):
        check({"name": 7}, SCHEMA)
    with pytest.raises(BadRequest, match="colour"):
        check({"colour": "red"}, SCHEMA)


@pytest.mark.parametrize(
    "body",
    [
        {"adminPass": "canary-secret"},
        {"adminPass": ["canary-secret"]},
        {"adminPass": {"x": "canary-secret"}},
        [{"adminPass": "canary-secret"}],
        {"name": {"password": "canary-secret"}},
        {"adminPass": "canary-secret\n'\""},
    ],
)
def test_a_refusal_quotes_no_secret(body: Any) -> None:
    with pytest.raises(BadRequest) as refusal:
        check(body, SCHEMA)
    assert "canary" not in refusal.value.message
