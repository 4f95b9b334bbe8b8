"""What is written for Ansible is read back by it as it was, and no string of it is a template."""

import stat
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.yaml.loader import AnsibleLoader
from ansible.template import is_trusted_as_template, trust_as_template
from hypothesis import given
from hypothesis import strategies as st

from controller.runner.variables import read_unsafe_yaml, unsafe_yaml, write_variables

# Halves of surrogate pairs are no characters; see the last test.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def read(text: str) -> Any:
    """Read as ansible-playbook does, to the point of trusting what a file of variables says."""
    loader = AnsibleLoader(trust_as_template(text))
    return loader.get_single_data()


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in strings(each)]
    return [value] if isinstance(value, str) else []


@given(VALUES)
def test_every_value_comes_back_as_it_was_with_no_string_trusted(value: Any) -> None:
    found = read(unsafe_yaml({"x": value}))
    assert found == {"x": value}
    assert not any(is_trusted_as_template(text) for text in strings(found))


@given(VALUES)
def test_read_without_yaml_it_is_the_same_and_no_string_has_a_mark(value: Any) -> None:
    found = read_unsafe_yaml(trust_as_template(unsafe_yaml({"x": value}) + "\n"))
    assert found == {"x": value}
    assert all(type(text) is str for text in strings(found))
    assert unsafe_yaml(found) == unsafe_yaml({"x": value})


@pytest.mark.parametrize(
    "text",
    [
        '{? "a" : 1}',
        "!unsafe {a: 1}",
        '!unsafe {? "a" : yes}',
        '!unsafe {? "a" : !vault "x"}',
        '!unsafe {? "a" : "\\n"}',
        '!unsafe {? "a" : "\\U00110000"}',
        '!unsafe {? "a" : "ä"}',
        '!unsafe {? "a" : NaN}',
        '!unsafe {? "a" : 1} # more',
        '!unsafe ["a"]',
        '!unsafe "a"',
    ],
)
def test_what_was_written_otherwise_is_left_to_yaml(text: str) -> None:
    assert read_unsafe_yaml(text) is None


@pytest.mark.parametrize("text", ["", "123", "0x1f", "yes", "null", "~", "1e3", "2026-11-22", "="])
def test_text_that_looks_like_another_type_stays_text(text: str) -> None:
    """Marked one by one, Ansible takes quoted strings for what they look like."""
    found = read(unsafe_yaml({"x": text, "y": [text], "z": {text: text}}))
    assert found == {"x": text, "y": [text], "z": {text: text}}
    assert all(isinstance(each, str) for each in (found["x"], *found["y"], *found["z"]))


def test_a_long_key_of_other_than_latin_letters_is_a_key() -> None:
    value = {"ключ" * 64: "x"}
    assert read(unsafe_yaml(value)) == value


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    assert read(unsafe_yaml({"x": "a\ud800b"})) == {"x": "a\ufffdb"}


@pytest.mark.parametrize("value", [b"bytes", {1: "x"}, object(), float("nan")])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        unsafe_yaml({"x": value})


def test_the_file_is_ours_alone_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "arguments.yml"
    write_variables(path, {"a": "b"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_variables(path, {})
