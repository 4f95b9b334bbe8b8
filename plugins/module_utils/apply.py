"""Run steps for a batch of servers in one process on the host (module `apply`).

With `parallel`, items run side by side in threads: what they mostly do is wait, for guests to shut
down or for other programs. A work function may therefore change nothing of the whole process (no
umask, no working folder, no environment, no signal handler), and opens its own libvirt connection
and its own lock files; flock keeps threads apart as it does processes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from . import fence, item_stream, journal, steps, work

# The fence's record of a server before a run claimed it, and since.
Claimed = tuple[fence.Record | None, fence.Record]

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
    # For a run about all of the host, which older ones like it must not come after.
    "host_id": {"type": "str"},
    "host_generation": {"type": "int"},
}

ARGUMENT_SPEC: dict[str, Any] = {
    "items": {"type": "list", "elements": "dict", "required": True, "options": _ITEM_OPTIONS},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    # It says nothing of the secrets; the name alone makes Ansible wonder.
    "secret_marker": {"type": "str", "default": "__secret__", "no_log": False},
    "fence": {"type": "dict", "default": {}, "options": _FENCE_OPTIONS, "apply_defaults": True},
    "undo_on_failure": {"type": "bool", "default": False},
    "parallel": {"type": "int", "default": 1},
    # Which steps these are: an operation's result counts for the same steps only.
    "steps_file": {"type": "str", "default": ""},
    # The FIFO in the journal's folder that somebody reads results from; see `item_stream`.
    "stream": {"type": "str"},
    "state_path": {"type": "path", "default": "/var/lib/novella"},
}


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Return {"changed", "failed", "msg", "results"}: one result for each item, in order.

    A result is {"id", "format_version", "changed", "failed", "msg", "steps"} and, where it applies,
    `missing_base`, `undone`, `fenced` and `done_before` (by an earlier run of the same operation).
    An item that fails stops; the others go on.
    """
    state_path = params["state_path"]
    try:
        with _whole_host(params, check_mode) as look_at_host:
            results = _results(params, check_mode, look_at_host)
    except fence.FenceError as error:
        refusal = {**_refused(error), "host_fenced": True}
        version = {"format_version": journal.FORMAT_VERSION}
        results = [{"id": item["id"], **version, **refusal} for item in params["items"]]
    if not check_mode:
        journal.prune(state_path)
    failures = [f"server {result['id']}: {result['msg']}" for result in results if result["failed"]]
    return {
        "changed": any(result["changed"] for result in results),
        "failed": bool(failures),
        "msg": "; ".join(failures),
        "results": results,
    }


@contextlib.contextmanager
def _whole_host(params: dict[str, Any], check_mode: bool) -> Iterator[Callable[[], None]]:
    """Hold the host's own fence, if the run is about all of it; yield the look before each step.

    Raises FenceError for a run that a newer one has succeeded.
    """
    wish, state_path = params["fence"], host_state(params["state_path"])
    host_id, generation = wish.get("host_id"), wish.get("host_generation")
    if check_mode or not host_id:
        yield lambda: None
        return
    mine = fence.claim(state_path, fence.Claim(host_id, wish["owner"], generation))
    with fence.held(state_path, host_id, wish["lock_timeout_s"]):
        fence.look_again(state_path, host_id, mine)
        yield lambda: fence.look_again(state_path, host_id, mine)


def host_state(state_path: str) -> str:
    """Return where the host's own fence lies, which looks as a server's does."""
    return os.path.join(state_path, "rules")


def _results(
    params: dict[str, Any], check_mode: bool, look_at_host: Callable[[], None]
) -> list[dict[str, Any]]:
    claims = [_claimed(item, params, check_mode) for item in params["items"]]
    stream = item_stream.ItemStream(journal.folder(params["state_path"]), params["stream"])

    def finished(item: dict[str, Any], claimed: Claimed | work.WorkError) -> dict[str, Any]:
        if isinstance(claimed, work.WorkError):
            result = _refused(claimed)
        else:
            result = _run_item(item, claimed, params, check_mode, look_at_host)
        result = {"id": item["id"], "format_version": journal.FORMAT_VERSION, **result}
        if not (check_mode or result.get("fenced") or result.get("done_before")):
            _keep(params, item, result)
        stream.send(result)
        return result

    try:
        return _mapped(finished, params["items"], claims, params["parallel"])
    finally:
        stream.close()


def _mapped(
    finished: Callable[[dict[str, Any], Claimed | work.WorkError], dict[str, Any]],
    items: list[dict[str, Any]],
    claims: list[Claimed | work.WorkError],
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
) -> Claimed | work.WorkError:
    """Return the item's fence records before and after the claim, or why it is refused.

    All of a batch are claimed before the first is worked on: an older run, busy with the first,
    must find each of the others taken.
    """
    wishes = params["fence"]
    wish = fence.Claim(item["id"], wishes["owner"], item["generation"], wishes["override"])
    try:
        return fence.succeed(params["state_path"], wish, check_mode)
    except work.WorkError as error:
        return error


def _refused(error: work.WorkError) -> dict[str, Any]:
    fenced = isinstance(error, fence.FenceError)
    return {"changed": False, "failed": True, "msg": error.msg, "steps": [], "fenced": fenced}


def _run_item(
    item: dict[str, Any],
    claimed: Claimed,
    params: dict[str, Any],
    check_mode: bool,
    look_at_host: Callable[[], None],
) -> dict[str, Any]:
    state_path, server_id = params["state_path"], item["id"]
    before, mine = claimed

    def look_again() -> None:
        # In check mode nothing was recorded, and nothing will be changed.
        if not check_mode:
            fence.look_for_starter(server_id)
            look_at_host()
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
            last = before.generation if before else None
            done = journal.done_before(state_path, item, params["steps_file"], last)
            return done or run_steps()
    except work.WorkError as error:
        return _refused(error)


def _keep(params: dict[str, Any], item: dict[str, Any], result: dict[str, Any]) -> None:
    entry = {
        "generation": item["generation"],
        "operation_id": item["operation_id"],
        "steps_file": params["steps_file"],
        **result,
    }
    try:
        journal.write(params["state_path"], item["operation_id"] or item["id"], entry)
    except (work.WorkError, OSError) as error:
        # The work is done, and its result goes back by the connection too: a full disk must not
        # turn it into a failure.
        result["journal_error"] = str(error)
