"""What modules say of themselves is what they take, and what several say stands in one place."""

import ast
import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "ansible_collections.novella.cloud.plugins"
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
# Their action plugins take what is documented; see tests/sanity.
OTHER_SPECS = {"apply", "live_migration"}
# An option that more modules than this describe alike belongs in plugins/doc_fragments.
ALIKE_MAX = 2


def _own(module: str) -> dict[str, Any]:
    """Return the module's own documentation, without what it takes of fragments."""
    tree = ast.parse((ROOT / "plugins/modules" / f"{module}.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DOCUMENTATION":
            return dict(yaml.safe_load(ast.literal_eval(node.value)))
    raise AssertionError(f"{module} has no documentation")


def _fragment(name: str) -> dict[str, Any]:
    file, _, part = name.removeprefix("novella.cloud.").partition(".")
    kept = importlib.import_module(f"{PACKAGE}.doc_fragments.{file}").ModuleDocFragment
    return dict(yaml.safe_load(getattr(kept, part.upper() or "DOCUMENTATION")))


def _whole(module: str) -> dict[str, Any]:
    """Return the documentation as ansible-doc has it: the module's own goes before a fragment's."""
    own = _own(module)
    parts = [_fragment(name) for name in own.get("extends_documentation_fragment", [])] + [own]
    return {
        key: {name: said for part in parts for name, said in (part.get(key) or {}).items()}
        for key in ("options", "attributes")
    }


def _spec(module: str) -> dict[str, Any]:
    """Return the argument spec that the module is run with."""
    text = (ROOT / "plugins/modules" / f"{module}.py").read_text()
    (holder,) = {
        ast.unparse(node.value)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and node.attr == "ARGUMENT_SPEC"
    }
    return dict(importlib.import_module(f"{PACKAGE}.module_utils.{holder}").ARGUMENT_SPEC)


@pytest.mark.parametrize("module", [each for each in MODULES if each not in OTHER_SPECS])
def test_options_are_documented_as_they_are_taken(module: str) -> None:
    options, spec = _whole(module)["options"], _spec(module)
    assert options.keys() == spec.keys()
    for name, option in options.items():
        assert option["type"] == spec[name].get("type", "str"), name
        assert bool(option.get("required")) == bool(spec[name].get("required")), name
        assert option.get("aliases", []) == spec[name].get("aliases", []), name


@pytest.mark.parametrize("module", MODULES)
def test_check_mode_and_diff_mode_are_described(module: str) -> None:
    for name in ("check_mode", "diff_mode"):
        assert {"description", "support"} <= _whole(module)["attributes"][name].keys()


def test_what_many_modules_describe_alike_is_a_fragment() -> None:
    said = Counter(
        (key, name, yaml.safe_dump(option))
        for module in MODULES
        for key in ("options", "attributes")
        for name, option in (_own(module).get(key) or {}).items()
    )
    many = {(key, name) for (key, name, _), times in said.items() if times > ALIKE_MAX}
    assert many == set()
