"""Run steps for a batch of servers in one process on the host (module `apply`).

With `parallel`, items run side by side in threads: what they mostly do is wait, for guests to shut
down or for other programs. A work function may therefore change nothing of the whole process (no
umask, no working folder, no environment, no signal handler), and opens its own libvirt connection
and its own lock files; flock keeps threads apart as it does processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import fence, journal, steps, work

_STEP_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "module": {"type": "str", "required": True},
    "args": {"type": "dict", "default": {}},
    "skipped": {"type": "bool", "default": False},
}

_ITEM_OPTIONS: dict[str, Any] = {
    "id": {"type": "str", "required": True},
    "generation": {"type": "int"},
    "operation_id": {"type": "str"},
    "steps": {"type": "list", "elements": "dict", "required": True, "options": _STEP_OPTIONS},
}

_FENCE_OPTIONS: dict[str, Any] = {
    "owner": {"type": "str", "default": fence.NO_CLOUD},
    "override": {"type": "bool", "default": False},
    "lock_timeout_s": {"type": "int", "default": 180},
}

ARGUMENT_SPEC: dict[str, Any] = {
    "items": {"type": "list", "elements": "dict", "required": True, "options": _ITEM_OPTIONS},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    # It says nothing of the secrets; the name alone makes Ansible wonder.
    "secret_marker": {"type": "str", "default": "__secret__", "no_log": False},
    "fence": {"type": "dict", "default": {}, "options": _FENCE_OPTIONS, "apply_defaults": True},
    "undo_on_failure": {"type": "bool", "default": False},
    "parallel": {"type": "int", "default": 1},
    "state_path": {"type": "path", "default": "/var/lib/novella"},
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Return {"changed", "failed", "msg", "results"}: one result for each item, in order.

    A result is {"id", "changed", "failed", "msg", "steps"} and, where it applies, `missing_base`,
    `undone` and `fenced`. An item that fails stops; the others go on.
    """
    state_path = params["state_path"]
    claims = [_claimed(item, params, check_mode) for item in params["items"]]

    def finished(item: dict[str, Any], claimed: fence.Record | work.WorkError) -> dict[str, Any]:
        if isinstance(claimed, fence.Record):
            result = _run_item(item, claimed, params, check_mode)
        else:
            result = _refused(claimed)
        result = {"id": item["id"], **result}
        if not check_mode and not result.get("fenced"):
            _keep(state_path, item, result)
        return result

    results = _mapped(finished, params["items"], claims, params["parallel"])
    if not check_mode:
        journal.prune(state_path)
    failures = [f"server {result['id']}: {result['msg']}" for result in results if result["failed"]]
    return {
        "changed": any(result["changed"] for result in results),
        "failed": bool(failures),
        "msg": "; ".join(failures),
        "results": results,
    }


def _mapped(
    finished: Callable[[dict[str, Any], fence.Record | work.WorkError], dict[str, Any]],
    items: list[dict[str, Any]],
    claims: list[fence.Record | work.WorkError],
    parallel: int,
) -> list[dict[str, Any]]:
    """Return the items' results in their order, at most `parallel` of them at work at a time."""
    width = min(parallel, len(items))
    if width <= 1:
        return [finished(*pair) for pair in zip(items, claims, strict=True)]
    # Imported here: most runs are of one server, and this is slow to load.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=width) as pool:
        return list(pool.map(finished, items, claims))


def _claimed(
    item: dict[str, Any], params: dict[str, Any], check_mode: bool
) -> fence.Record | work.WorkError:
    """Return the item's fence record, or why it is refused.

    All of a batch are claimed before the first is worked on: an older run, busy with the first,
    must find each of the others taken.
    """
    wishes = params["fence"]
    wish = fence.Claim(item["id"], wishes["owner"], item["generation"], wishes["override"])
    try:
        return fence.claim(params["state_path"], wish, check_mode)
    except work.WorkError as error:
        return error


def _refused(error: work.WorkError) -> dict[str, Any]:
    fenced = isinstance(error, fence.FenceError)
    return {"changed": False, "failed": True, "msg": error.msg, "steps": [], "fenced": fenced}


def _run_item(
    item: dict[str, Any], mine: fence.Record, params: dict[str, Any], check_mode: bool
) -> dict[str, Any]:
    state_path, server_id = params["state_path"], item["id"]

    def look_again() -> None:
        # In check mode nothing was recorded, and nothing will be changed.
        if not check_mode:
            fence.look_again(state_path, server_id, mine)

    def run_steps() -> dict[str, Any]:
        return steps.run_all(
            item["steps"],
            params["secret_marker"],
            params["secrets"].get(server_id) or {},
            check_mode,
            look_again,
            params["undo_on_failure"] and not check_mode,
        )

    if check_mode:
        return run_steps()
    try:
        with fence.held(state_path, server_id, params["fence"]["lock_timeout_s"]):
            look_again()
            return run_steps()
    except work.WorkError as error:
        return _refused(error)


def _keep(state_path: str, item: dict[str, Any], result: dict[str, Any]) -> None:
    entry = {"generation": item["generation"], "operation_id": item["operation_id"], **result}
    try:
        journal.write(state_path, item["operation_id"] or item["id"], entry)
    except (work.WorkError, OSError) as error:
        # The work is done, and its result goes back by the connection too: a full disk must not
        # turn it into a failure.
        result["journal_error"] = str(error)
