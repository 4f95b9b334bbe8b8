"""What the documents say is there is there: code, tests, links, settings and commands."""

import argparse
import ast
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from controller.cli import build_parser
from controller.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
WORKFLOW = ROOT / "docs" / "boot-workflow.md"
OPERATORS = ROOT / "docs" / "operators.md"
# A text between backquotes that begins with one of these is a place in this repository.
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"var", "build", "dist"}

_CODE_BLOCK = re.compile(r"^```.*?^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def references(document: Path) -> list[str]:
    """Return what the document names between backquotes: `path`, `path:function`, `path::test`."""
    found = re.findall(r"`([^`\n]+)`", _CODE_BLOCK.sub("", document.read_text()))
    return sorted({text for text in found if _is_reference(text)})


def _is_reference(text: str) -> bool:
    if re.search(r"[\s<>*{]", text):
        return False
    first, separator, _ = text.partition("/")
    return bool(separator) and first in FOLDERS


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the functions and classes of a Python file; a method as Class.method."""
    return frozenset(_names(ast.parse(path.read_text()), ""))


def _names(node: ast.AST, prefix: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield prefix + child.name
            if isinstance(child, ast.ClassDef):
                yield from _names(child, f"{prefix}{child.name}.")


def _cases(*documents: Path) -> list[Any]:
    return [
        pytest.param(text, id=f"{document.name} {text}")
        for document in documents
        for text in references(document)
    ]


@pytest.mark.parametrize("reference", _cases(WORKFLOW, OPERATORS))
def test_a_place_that_a_document_names_is_there(reference: str) -> None:
    path, separator, name = reference.partition("::" if "::" in reference else ":")
    assert (ROOT / path).exists(), f"there is no {path}"
    if separator:
        assert name.replace("::", ".") in names_in(ROOT / path), f"{path} has no {name}"


def _sections(heading: str) -> dict[str, str]:
    """Return the text below each `### ` heading in the part of the workflow called `heading`."""
    part = re.split(r"^## ", WORKFLOW.read_text(), flags=re.M)
    [text] = [each for each in part if each.startswith(heading)]
    titles_and_texts = re.split(r"^### (.*)$", text, flags=re.M)[1:]
    return dict(zip(titles_and_texts[::2], titles_and_texts[1::2], strict=True))


def test_all_seventeen_steps_are_there_in_order() -> None:
    numbers = [int(title.partition(".")[0]) for title in _sections("Nova's 17 steps")]
    assert numbers == list(range(1, 18))


@pytest.mark.parametrize(
    ("part", "title"),
    [
        (part, title)
        for part in ("Nova's 17 steps", "The spawn workflow", "The hard reboot workflow")
        for title in _sections(part)
    ],
)
def test_a_step_names_its_code_and_its_test_or_says_what_is_missing(part: str, title: str) -> None:
    text = _sections(part)[title]
    assert "Code: `" in text or "Not built" in text
    assert "Test: `tests/" in text or "No test" in text


def _links() -> list[Any]:
    return [
        pytest.param(document, target, id=f"{document.name} {target}")
        for document in (ROOT / "README.md", *DOCS)
        for target in _LINK.findall(_CODE_BLOCK.sub("", document.read_text()))
        if not re.match(r"[a-z]+:", target)
    ]


@pytest.mark.parametrize(("document", "target"), _links())
def test_a_relative_link_leads_somewhere(document: Path, target: str) -> None:
    name, _, anchor = target.partition("#")
    path = (document.parent / name).resolve() if name else document
    assert path.exists(), f"{document.name} links to {target}, which is not there"
    if anchor:
        assert anchor in _anchors(path)


def _anchors(path: Path) -> set[str]:
    """Return the anchors that the headings of a document get, as code forges make them."""
    headings = re.findall(r"^#+ (.*)$", _CODE_BLOCK.sub("", path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def _settings_table() -> dict[str, str]:
    """Return the default that the operators' guide gives for each setting."""
    text = OPERATORS.read_text().partition("\n## Settings\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.M))


def test_the_operators_guide_lists_every_setting_in_order() -> None:
    assert list(_settings_table()) == [entry.name for entry in fields(Settings)]


@pytest.mark.parametrize("entry", fields(Settings), ids=lambda entry: entry.name)
def test_the_operators_guide_gives_the_default_of_a_setting(entry: Any) -> None:
    default = entry.default if entry.default is not MISSING else entry.default_factory()
    if entry.name == "project_dir":
        assert _settings_table()[entry.name] == "the checkout"
        return
    shown = json.dumps(str(default) if isinstance(default, Path) else default)
    assert _settings_table()[entry.name] == f"`{shown}`"


def _commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield every command below `parser`, as it is typed."""
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not below:
        yield " ".join(words)
    for action in below:
        for name, child in action.choices.items():
            yield from _commands(child, (*words, name))


def _examples() -> list[str]:
    """Return the arguments of each `novella` command line in the operators' guide."""
    joined = OPERATORS.read_text().replace("\\\n", " ")
    return re.findall(r"^(?:\$ )?novella ((?!\.).+?)(?:\s+#.*)?$", joined, re.M)


@pytest.mark.parametrize("command", list(_commands(build_parser())))
def test_the_operators_guide_has_an_example_of_every_command(command: str) -> None:
    assert any(f"{example} ".startswith(f"{command} ") for example in _examples())


@pytest.mark.parametrize("example", _examples())
def test_an_example_is_a_command_line_that_novella_takes(example: str) -> None:
    build_parser().parse_args(shlex.split(example))
