"""Compile the templates of our plays once, in the fork server, and not in each run for each server.

Jinja compiles a template from text whenever it is asked to; of what a create costs Ansible, that is
the half. So it does with the expression of a `when`, and looks for a filter wherever it may be.
What a text compiles to depends on the text and on the syntax that is in force alone, so the code is
kept by these. Templates of tenants there are none: their texts carry no trust.
"""

import logging
import marshal
import os
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

from controller.runner.warm import parsed

log = logging.getLogger(__name__)

# Text, whether backslashes in it are escaped, and what opens and closes its parts.
Key = tuple[Any, ...]

# A run may meet many texts; no more than so many are kept.
KEPT = 2000

_kept: dict[Key, CodeType] = {}


def keep() -> None:
    """Have Ansible's Jinja environments look here first. Call once, with Ansible imported."""
    _keep_templates()
    _keep_expressions()
    _keep_plugins()


def _keep_templates() -> None:
    from ansible._internal._templating import _jinja_bits as jinja

    environment = jinja.AnsibleEnvironment
    plainly = environment.compile

    def compile_once(self: Any, source: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(source, str) or arguments or options or self._debuggable_template_source:
            return plainly(self, source, *arguments, **options)
        key = _key(self, source)
        code = _kept.get(key)
        if code is None:
            code = plainly(self, source)
            _keep(key, code)
        return code

    environment.compile = compile_once


def _keep_expressions() -> None:
    from ansible._internal._templating import _jinja_bits as jinja
    from jinja2 import environment as jinja2_environment

    environment = jinja.AnsibleEnvironment
    plainly, compile_tree = environment.compile_expression, environment.compile

    def compile_once(self: Any, source: str, undefined_to_none: bool = True) -> Any:
        key = ("expression", *_key(self, source))
        code = _kept.get(key)
        if code is None or self._debuggable_template_source:
            made = []

            def compile_noted(tree: Any) -> Any:
                made.append(compile_tree(self, tree))
                return made[-1]

            # The expression comes there as a tree, which says nothing of its text.
            self.compile = compile_noted
            try:
                return plainly(self, source, undefined_to_none)
            finally:
                del self.compile
                if made:
                    _keep(key, made[-1])
        template = self.template_class.from_code(self, code, self.make_globals(None), None)
        return jinja2_environment.TemplateExpression(template, undefined_to_none)

    environment.compile_expression = compile_once


def _keep_plugins() -> None:
    """Ansible keeps a filter by its short name; one that is asked for by its full name it would
    look for each time, and any in each environment anew.
    """
    from ansible._internal._templating._jinja_plugins import JinjaPluginIntercept

    plainly = JinjaPluginIntercept.__getitem__
    found: dict[tuple[str, str], Any] = {}

    def look_once(self: Any, name: str) -> Any:
        if name in self._wrapped_funcs:
            return plainly(self, name)
        key = (self._plugin_loader.type, name)
        if key not in found:
            found[key] = plainly(self, name)
        return found[key]

    JinjaPluginIntercept.__getitem__ = look_once


def _key(environment: Any, source: str) -> Key:
    from ansible._internal._templating import _jinja_bits as jinja

    context = jinja._TemplateCompileContext.current(optional=True)
    syntax = tuple(getattr(environment, name) for name in jinja._TEMPLATE_OVERRIDE_FIELD_NAMES)
    return (str(source), bool(context and context.escape_backslashes), *syntax)


def _keep(key: Key, code: CodeType) -> None:
    if len(_kept) < KEPT:
        _kept[key] = code


def compile_ahead(project_dir: Path) -> None:
    """Compile the texts of what `parsed` keeps, in a process of its own for the memory that it
    takes; the rest is compiled when a run first needs it.

    Where that fails, runs compile what they need themselves.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            _compile(project_dir)
            with os.fdopen(writing, "wb") as file:
                file.write(marshal.dumps(_kept))
        except Exception:
            log.exception("no template could be compiled ahead")
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        content = file.read()
    os.waitpid(pid, 0)
    if content:
        _kept.update(marshal.loads(content))  # noqa: S302 -- our own child's


def _compile(project_dir: Path) -> None:
    from ansible._internal._templating import _jinja_bits as jinja

    environment = jinja.AnsibleEnvironment()
    texts = {(text, True) for content in parsed.contents() for text in _texts(content)}
    with jinja._TemplateCompileContext(escape_backslashes=True):
        for text in sorted(set(_conditions(list(parsed.contents())))):
            environment.compile_expression(text, False)
    for path in sorted((project_dir / "templates").glob("*.j2")):
        # As the lookup `template` has it.
        texts.add((path.read_text(encoding="utf-8"), False))
    for text, escaped in sorted(texts):
        with jinja._TemplateCompileContext(escape_backslashes=escaped):
            environment.from_string(text)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in what was read from YAML that are templates."""
    if isinstance(value, dict):
        for name, each in value.items():
            # An expression by itself, which Jinja reads otherwise.
            if name != "when":
                yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str) and ("{{" in value or "{%" in value):
        yield str(value)


def _conditions(value: Any) -> Iterator[str]:
    """Yield the expressions in what was read from YAML that tasks depend on."""
    if isinstance(value, dict):
        when = value.get("when")
        found = when if isinstance(when, list) else [when]
        yield from (str(each) for each in found if isinstance(each, str))
        for each in value.values():
            yield from _conditions(each)
    elif isinstance(value, list):
        for each in value:
            yield from _conditions(each)
