"""What is written for Ansible is read back as it was, every string of it marked unsafe."""

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.runner.variables import unsafe_yaml, write_variables

# Halves of surrogate pairs are no characters; see the last test.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


class Marked(str):
    """A string that was tagged."""


class Loader(yaml.SafeLoader):
    """Reads as Ansible does: with the tag."""


Loader.add_constructor("!unsafe", lambda loader, node: Marked(loader.construct_scalar(node)))


def read(text: str) -> Any:
    return yaml.load(text, Loader)  # noqa: S506 -- a SafeLoader with one tag more


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in strings(each)]
    return [value] if isinstance(value, str) else []


@given(VALUES)
def test_every_value_comes_back_as_it_was_with_its_strings_marked(value: Any) -> None:
    found = read(unsafe_yaml(value))
    assert found == value
    assert all(isinstance(text, Marked) for text in strings(found))


def test_a_long_key_of_other_than_latin_letters_is_a_key() -> None:
    value = {"ключ" * 64: "x"}
    assert read(unsafe_yaml(value)) == value


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    assert read(unsafe_yaml("a\ud800b")) == "a\ufffdb"


@pytest.mark.parametrize("value", [b"bytes", {1: "x"}, object(), float("nan")])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        unsafe_yaml(value)


def test_the_file_is_ours_alone_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "arguments.yml"
    write_variables(path, {"a": "b"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        write_variables(path, {})
