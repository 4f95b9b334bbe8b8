"""Compile the templates of our plays once, in the fork server, and not in each run for each server.

Jinja compiles a template from text whenever it is asked to; of what a create costs Ansible, that is
the half. What a text compiles to depends on the text and on the syntax that is in force alone, so
the code is kept by these. Templates of tenants there are none: their texts carry no trust.
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
    from ansible._internal._templating import _jinja_bits as jinja

    environment = jinja.AnsibleEnvironment
    plainly = environment.compile

    def compile_once(self: Any, source: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(source, str) or arguments or options or self._debuggable_template_source:
            return plainly(self, source, *arguments, **options)
        context = jinja._TemplateCompileContext.current(optional=True)
        syntax = tuple(getattr(self, name) for name in jinja._TEMPLATE_OVERRIDE_FIELD_NAMES)
        key = (str(source), bool(context and context.escape_backslashes), *syntax)
        code = _kept.get(key)
        if code is None:
            code = plainly(self, source)
            if len(_kept) < KEPT:
                _kept[key] = code
        return code

    environment.compile = compile_once


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
