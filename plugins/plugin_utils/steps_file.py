"""Read a steps file and turn it into the steps of one item, for the action plugin `apply`.

A steps file is an ordinary Ansible task file: the same file runs as plain tasks. Only what both
ways can do alike is let in; the rest is refused by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

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
    templar.available_variables = variables
    for turn in templar.template(task.loop):
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
    step: dict[str, Any] = {"name": templar.template(task.name), "module": task.module}
    if wanted:
        yield {**step, "args": templar.template(task.args)}
    else:
        yield {**step, "skipped": True}
