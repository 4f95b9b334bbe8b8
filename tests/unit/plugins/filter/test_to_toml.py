"""Values in TOML: what Python's own reader makes of them is what went in."""

import tomllib
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.novella.cloud.plugins.filter.to_toml import to_toml

AWKWARD = "a \"b\" 'c' \\ \n\t {{ 7*7 }} # ü 🦊 \x7f\x00"


@pytest.mark.parametrize(
    "value",
    [True, 0, -7, 1.5, 1e300, "", AWKWARD, [], [[1, "a"], {}], {"a-b": {"c d": [True, AWKWARD]}}],
)
def test_a_value_of_any_kind_reads_back_as_it_was(value: Any) -> None:
    assert tomllib.loads(f"x = {to_toml(value)}") == {"x": value}


@pytest.mark.parametrize("value", [None, {"a": None}, {1: "a"}, "\ud800", float("nan")])
def test_what_toml_has_no_word_for_is_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="as TOML"):
        to_toml(value)
