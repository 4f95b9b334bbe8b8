"""Read a steps file and turn it into the steps of one item, for the action plugin `apply`.

A steps file is an ordinary Ansible task file: the same file runs as plain tasks. Only what both
ways can do alike is let in; the rest is refused by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

INCLUDES = frozenset(
    {
        "ansible.builtin.include_tasks",
        "ansible.builtin.import_tasks",
        "include_tasks",
        "import_tasks",
    }
)
KEYWORDS = frozenset({"name", "when", "loop", "loop_control", "vars", "no_log"})

# `{{ server.id }}`: a variable or something in it, through filters that leave most values alone.
_REFERENCE = re.compile(
    r"\{\{ (?P<path>\w+(?:\.\w+)*)"
    r"(?P<filters>(?: \| (?:bool|int|default\([^(){}]*\)))*) \}\}"
)
_FILTER = re.compile(r"bool|int|default\((?:(?P<other>\w+)|[^()]*?)(?P<falsy>, true)?\)")
# A value's type as it comes from JSON: without a mark, so no text of it is a template.
_SCALARS = frozenset({str, int, float, bool, type(None)})
_NOT_PLAIN = object()


class Filter(NamedTuple):
    """A filter that leaves most values alone; `other` is the variable that a default names."""

    text: str
    replaces_falsy: bool
    other: str


@dataclass(frozen=True)
class Task:
    """A task of a steps file, its templates unevaluated."""

    name: str
    module: str
    args: dict[str, Any] = field(default_factory=dict)
    when: tuple[Any, ...] = ()
    loop: Any = None
    loop_var: str = "item"
    vars: dict[str, Any] = field(default_factory=dict)
    included: tuple[Task, ...] | None = None


def read(loader: DataLoader, path: str, tasks_folder: str) -> tuple[Task, ...]:
    """Return the tasks of the steps file at `path`, includes read too.

    An included file is looked for beside the including one, then in `tasks_folder`, as Ansible
    itself does. Raises AnsibleParserError for what a steps file can't have.
    """
    # Our own files are templates; what the items bring is not.
    content = loader.load_from_file(path, trusted_as_template=True)
    if not isinstance(content, list):
        raise AnsibleParserError(f"Steps file {path} is not a list of tasks.")
    return tuple(_task(loader, path, tasks_folder, entry) for entry in content)


def _task(loader: DataLoader, path: str, tasks_folder: str, entry: Any) -> Task:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise AnsibleParserError(f"Steps file {path}: every step is a task with a name.")
    actions = [key for key in entry if key not in KEYWORDS]
    if len(actions) != 1:
        raise AnsibleParserError(
            f"Steps file {path}, step '{entry['name']}': give one module and, beside it, only "
            f"{', '.join(sorted(KEYWORDS))}. Found {', '.join(sorted(actions)) or 'no module'}."
        )
    module = actions[0]
    loop_control = entry.get("loop_control") or {}
    when = entry.get("when", [])
    included = None
    args = entry[module]
    if module in INCLUDES:
        included = read(loader, _included_path(path, tasks_folder, args), tasks_folder)
        args = {}
    elif not isinstance(args, dict):
        raise AnsibleParserError(
            f"Steps file {path}, step '{entry['name']}': arguments are a mapping."
        )
    return Task(
        name=entry["name"],
        module=module,
        args=args,
        when=tuple(when) if isinstance(when, list) else (when,),
        loop=entry.get("loop"),
        loop_var=loop_control.get("loop_var", "item"),
        vars=entry.get("vars") or {},
        included=included,
    )


def _included_path(path: str, tasks_folder: str, args: Any) -> str:
    wanted = args.get("file") if isinstance(args, dict) else args
    if not isinstance(wanted, str):
        raise AnsibleParserError(f"Steps file {path}: an include names a file.")
    for folder in (os.path.dirname(path), tasks_folder):
        candidate = os.path.join(folder, wanted)
        if os.path.exists(candidate):
            return candidate
    raise AnsibleParserError(f"Steps file {path} includes {wanted}, which is not there.")


def without(variables: dict[str, Any], *batch: Any) -> dict[str, Any]:
    """Return the variables but for those that are one of `batch`, under whatever name.

    For speed: a lookup copies what a step sees, each time, and with the batch in it one of fifty
    cost ten times one alone. `vars`, where all variables stand once more, goes too. (It is no wall:
    `hostvars` still has them.)
    """
    return {
        name: value
        for name, value in variables.items()
        if name != "vars" and not (isinstance(value, list | dict) and value and value in batch)
    }


def expand(
    tasks: tuple[Task, ...], templar: Templar, variables: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield an item's steps, {"name", "module", "args"} or {"name", "module", "skipped": true}.

    `variables` hold the item. Strings of the item are not templates (they carry no trust), so
    they come through as they are. `templar` is given other variables for each step; one for all
    items finds each filter once. Raises AnsibleError naming the step.
    """
    for task in tasks:
        try:
            yield from _expand_task(task, templar, {**variables, **task.vars})
        except AnsibleError as error:
            if getattr(error, "_novella_step", None):
                raise
            wrapped = AnsibleError(f"{task.name}: {error.message}")
            wrapped._novella_step = task.name
            raise wrapped from error


def _expand_task(
    task: Task, templar: Templar, variables: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if task.loop is None:
        yield from _expand_once(task, templar, variables)
        return
    # As with plain tasks, `when` is asked for each turn of the loop.
    for turn in _templated(task.loop, templar, variables):
        yield from _expand_once(task, templar, {**variables, task.loop_var: turn})


def _expand_once(
    task: Task, templar: Templar, variables: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    templar.available_variables = variables
    wanted = all(templar.evaluate_conditional(condition) for condition in task.when)
    if task.included is not None:
        if wanted:
            yield from expand(task.included, templar, variables)
        return
    name = _templated(task.name, templar, variables)
    step: dict[str, Any] = {"name": name, "module": task.module}
    if wanted:
        yield {**step, "args": _templated(task.args, templar, variables)}
    else:
        yield {**step, "skipped": True}


def _templated(template: Any, templar: Templar, variables: dict[str, Any]) -> Any:
    """Return what `templar` makes of `template`, without it where that is plain to see."""
    if isinstance(template, dict):
        parts = {
            name: _templated(part, templar, variables)
            if isinstance(part, dict)
            else _referenced(part, variables)
            for name, part in template.items()
        }
        left = {name: template[name] for name, part in parts.items() if part is _NOT_PLAIN}
        if not left:
            return parts
        # Together, as the templar leaves out those that are to be omitted.
        templar.available_variables = variables
        done = templar.template(left)
        return {name: part for name, part in parts.items() if name not in left} | done
    found = _referenced(template, variables)
    if found is not _NOT_PLAIN:
        return found
    templar.available_variables = variables
    return templar.template(template)


def _referenced(template: Any, variables: dict[str, Any]) -> Any:
    """Return the value that `template` is no more than a reference to, or _NOT_PLAIN."""
    if not isinstance(template, str):
        return template if type(template) in _SCALARS else _NOT_PLAIN
    if "{" not in template:
        return str(template)
    reference = _reference(str(template))
    if reference is None:
        return _NOT_PLAIN
    (first, *path), filters = reference
    value = variables.get(first, _NOT_PLAIN)
    for name in path:
        # Jinja looks for methods first: `server.items` is one.
        if type(value) is not dict or hasattr(dict, name):
            return _NOT_PLAIN
        value = value.get(name, _NOT_PLAIN)
    if value is _NOT_PLAIN and filters:
        value, filters = _default(filters[0], variables), filters[1:]
    if not all(_leaves_alone(each, value) for each in filters):
        return _NOT_PLAIN
    if isinstance(value, str) and "{" not in value:
        return str(value)
    return value if _is_plain(value) else _NOT_PLAIN


@cache
def _reference(template: str) -> tuple[list[str], list[Filter]] | None:
    """Return a reference's path, and its filters as they stand there."""
    found = _REFERENCE.fullmatch(template)
    if found is None:
        return None
    filters = [
        Filter(each[0], bool(each["falsy"]), each["other"] or "")
        for each in _FILTER.finditer(found["filters"])
    ]
    return found["path"].split("."), filters


def _default(each: Filter, variables: dict[str, Any]) -> Any:
    """Return the list or dictionary that another variable has, which stands for a missing one."""
    found = variables.get(each.other)
    return found if type(found) in (list, dict) else _NOT_PLAIN


def _leaves_alone(each: Filter, value: Any) -> bool:
    name, replaces_falsy, _ = each
    if name in ("bool", "int"):
        return type(value).__name__ == name
    return value is not _NOT_PLAIN and (bool(value) or not replaces_falsy)


def _is_plain(value: Any) -> bool:
    """Whether there is no mark on the value nor on anything in it."""
    if type(value) in _SCALARS:
        return True
    if type(value) is dict:
        return all(type(name) is str for name in value) and all(map(_is_plain, value.values()))
    return type(value) is list and all(map(_is_plain, value))
