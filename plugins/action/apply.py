"""The action half of `novella.cloud.apply`: steps file in, one remote execution, results out."""

from __future__ import annotations

import re
import secrets as random
from functools import partial
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.novella.cloud.plugins.plugin_utils import (
    host_command,
    image_stream,
    item_follower,
    kept_modules,
    move_authority,
    snapshot_stream,
    steps_file,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "steps": {"type": "str", "required": True},
    "items": {"type": "list", "elements": "dict", "required": True},
    "item_var": {"type": "str", "default": "server"},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "fence": {"type": "dict", "default": {}},
    "undo_on_failure": {"type": "bool", "default": False},
    "parallel": {"type": "int", "default": 1},
    "state_path": {"type": "path", "default": "/var/lib/novella"},
}

Result = dict[str, Any]

display = Display()
# How often a run whose connection was lost in its midst goes on over a new one.
RECONNECTS = 2
# What ssh says when there was no connection that could be lost.
_NEVER_CONNECTED = re.compile(
    "connect to host|Could not resolve|Permission denied|Host key verification|kex_exchange"
)


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = True

    # Where the host keeps the module's archive, while the module is what is executed.
    _kept_in: str | None = None

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> Result:
        answer: Result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        task_vars = task_vars or {}
        self._refuse_many_hosts(task_vars)
        # Image id to the file on this side that a step names as its source.
        self._images: dict[str, str] = {}
        # Item id to the folder of the authority that signs for its move.
        self._authorities: dict[str, str] = {}
        marker = f"__secret_{random.token_hex(8)}__"
        # Item id to the file on this side that a copy of its disk is to be brought to.
        self._fetches: dict[str, snapshot_stream.Target] = {}
        results: dict[str, Result] = {}
        ready: list[Result] = []
        visible = steps_file.without(task_vars, arguments["items"], arguments["secrets"])
        self._steps_templar = self._templar.copy_with_new_env()
        for item in arguments["items"]:
            self._prepare(item, arguments, visible, marker, ready, results)
        self._execute(ready, arguments, task_vars, marker, results)
        self._sign(ready, arguments, task_vars, marker, results)
        self._send_images(ready, arguments, task_vars, marker, results)
        self._fetch_snapshots(results)
        return {**answer, **self._summary([results[item["id"]] for item in arguments["items"]])}

    def _refuse_many_hosts(self, task_vars: dict[str, Any]) -> None:
        # A batch is for one host: two of them would run the same server over the same address.
        hosts = task_vars.get("ansible_play_hosts_all") or []
        if len(hosts) > 1:
            raise AnsibleActionFail(
                f"Refused to run these steps on {len(hosts)} hosts ({', '.join(hosts[:5])}): a "
                "server is on one host. Name it with -l HOST."
            )

    def _prepare(
        self,
        item: Result,
        arguments: Result,
        task_vars: dict[str, Any],
        marker: str,
        ready: list[Result],
        results: dict[str, Result],
    ) -> None:
        """Add the item with its steps to `ready`, or its failure to `results`."""
        item_id = item.get("id")
        if not isinstance(item_id, str):
            raise AnsibleActionFail("Each of the items needs an id, a UUID in lower case.")
        if item_id in results or any(other["id"] == item_id for other in ready):
            raise AnsibleActionFail(f"Item {item_id} is listed twice. List each server once.")
        own_secrets = arguments["secrets"].get(item_id) or {}
        variables = {
            **task_vars,
            arguments["item_var"]: item,
            "secret": {name: {marker: name} for name in own_secrets},
        }
        try:
            tasks = self._tasks(arguments["steps"])
            steps = list(steps_file.expand(tasks, self._steps_templar, variables))
        except AnsibleError as error:
            results[item_id] = _failure(item_id, f"{error.message}")
            return
        for step in steps:
            self._images |= image_stream.take_source(step)
            if target := snapshot_stream.take_target(step):
                self._fetches[item_id] = target
            authority = move_authority.take_path(step)
            if authority:
                self._authorities[item_id] = authority
        ready.append(
            {
                "id": item_id,
                "generation": item.get("generation"),
                "operation_id": item.get("operation_id"),
                "steps": steps,
            }
        )

    def _tasks(self, steps: str) -> tuple[steps_file.Task, ...]:
        if not hasattr(self, "_read_tasks"):
            path = self._find_needle("tasks", steps)
            role = self._task._role
            folder = f"{role._role_path}/tasks" if role else self._loader.get_basedir()
            self._read_tasks = steps_file.read(self._loader, path, folder)
        return self._read_tasks

    def _execute(
        self,
        items: list[Result],
        arguments: Result,
        task_vars: dict[str, Any],
        marker: str,
        results: dict[str, Result],
    ) -> None:
        """Run the items' steps on the host, in one execution, and put each result in `results`."""
        if not items:
            return
        ids = {item["id"] for item in items}
        module_args = {
            "items": items,
            "secrets": {k: v for k, v in arguments["secrets"].items() if k in ids},
            "secret_marker": marker,
            "fence": arguments["fence"],
            "undo_on_failure": arguments["undo_on_failure"],
            "parallel": arguments["parallel"],
            "steps_file": arguments["steps"],
            "state_path": arguments["state_path"],
        }
        answer = self._answer(module_args, task_vars, ids)
        # What a host returns is not trusted: only results of the items that it was given count.
        for result in answer.get("results") or []:
            if isinstance(result, dict) and result.get("id") in ids:
                results[result["id"]] = result
        for item_id in ids - results.keys():
            why = answer.get("msg") or "the host gave no result for it"
            unknown = _failure(item_id, f"The module apply did not finish: {why}")
            if answer.get("module_stderr") or answer.get("exception"):
                unknown["exception"] = answer.get("module_stderr") or answer.get("exception")
            results[item_id] = {**unknown, "unknown": True}

    def _answer(self, module_args: Result, task_vars: dict[str, Any], ids: set[str]) -> Result:
        """Return what the module says; over a new connection when the first one is lost meanwhile.

        The journal on the host keeps what is done from being done again, if the items say whose
        operation they are. What the lost run is in the midst of is waited for there.
        """
        journaled = all(item["operation_id"] for item in module_args["items"])
        tries = RECONNECTS if journaled else 0
        host = str(task_vars.get("inventory_hostname"))
        while True:
            try:
                with item_follower.following(
                    self._connection, host, module_args["state_path"], ids
                ) as stream:
                    return self._executed({**module_args, "stream": stream}, task_vars)
            except AnsibleConnectionFailure as error:
                if not tries or _NEVER_CONNECTED.search(str(error)):
                    raise
                tries -= 1
                display.warning(f"The connection to {host} was lost in mid-run; trying again.")
                self._connection.reset()

    def _executed(self, module_args: Result, task_vars: dict[str, Any]) -> Result:
        if not self._task.check_mode:
            self._kept_in = f"{module_args['state_path']}/modules"
        try:
            answer: Result = self._execute_module(
                module_name="novella.cloud.apply", module_args=module_args, task_vars=task_vars
            )
            return answer
        finally:
            self._kept_in = None

    def _low_level_execute_command(
        self, cmd: str, sudoable: bool = True, in_data: bytes | None = None, **options: Any
    ) -> Result:
        execute = partial(super()._low_level_execute_command, sudoable=sudoable, **options)
        module = kept_modules.taken_from(in_data) if in_data and self._kept_in else None
        if module is None or self._kept_in is None:
            return execute(cmd, in_data=in_data)
        return kept_modules.run(
            lambda command, data: execute(command, in_data=data), cmd, module, self._kept_in
        )

    def _sign(
        self,
        items: list[Result],
        arguments: Result,
        task_vars: dict[str, Any],
        marker: str,
        results: dict[str, Result],
    ) -> None:
        """Sign the certificates that the host lacks for moves, and run those items again."""
        again = []
        for item in items:
            missing = results[item["id"]].get("missing_certificate")
            if not isinstance(missing, dict) or item["id"] not in self._authorities:
                continue
            try:
                for step in item["steps"]:
                    self._give_certificate(item["id"], step, missing.get("public_key"))
            except move_authority.AuthorityError as error:
                results[item["id"]]["msg"] = str(error)
                continue
            del results[item["id"]]
            again.append(item)
        self._execute(again, arguments, task_vars, marker, results)

    def _give_certificate(self, item_id: str, step: Result, public_key: Any) -> None:
        asked = step.get("args") or {}
        is_one = step["module"].endswith("move_credentials") and not step.get("skipped")
        if not is_one or asked.get("state") == "absent":
            return
        step["args"] = asked | move_authority.sign(
            self._authorities[item_id], public_key, item_id, str(asked["host_name"]),
            str(asked["address"]), live=asked.get("purpose") == "live",
        )  # fmt: skip

    def _send_images(
        self,
        items: list[Result],
        arguments: Result,
        task_vars: dict[str, Any],
        marker: str,
        results: dict[str, Result],
    ) -> None:
        """Send the images that the host lacks, each once, and run the items concerned again."""
        missing = {item["id"]: _missing_image(results[item["id"]]) for item in items}
        sent: dict[str, str] = {}
        for image_id in dict.fromkeys(filter(None, missing.values())):
            sent[image_id] = self._send_image(image_id, arguments["state_path"])
        again = []
        for item in items:
            image_id = missing[item["id"]]
            if image_id and sent[image_id]:
                results[item["id"]]["msg"] = sent[image_id]
            elif image_id:
                del results[item["id"]]
                again.append(item)
        self._execute(again, arguments, task_vars, marker, results)

    def _send_image(self, image_id: str, state_path: str) -> str:
        """Send an image to the host; return why that failed, or an empty string."""
        try:
            image_stream.send(
                lambda command, data: self._low_level_execute_command(command, in_data=data),
                self._images.get(image_id),
                image_id,
                state_path,
            )
        except image_stream.StreamError as error:
            return str(error)
        return ""

    def _fetch_snapshots(self, results: dict[str, Result]) -> None:
        """Bring copies of disks here that were made; what came of each is its item's `image`."""
        for item_id, result in results.items():
            # A host speaks of its copy alone.
            result.pop("image", None)
            target, made = self._fetches.get(item_id), snapshot_stream.of_result(result)
            if target is None or made is None or result.get("failed") or self._task.check_mode:
                continue
            try:
                result["image"] = snapshot_stream.fetch(
                    host_command.runner(self._connection), made, target
                )
            except snapshot_stream.FetchError as error:
                result |= {"failed": True, "msg": str(error)}

    def _summary(self, results: list[Result]) -> Result:
        failures = [result for result in results if result.get("failed")]
        answer: Result = {
            "changed": any(bool(result.get("changed")) for result in results),
            "failed": bool(failures),
            "results": results,
        }
        if failures:
            answer["msg"] = "; ".join(
                f"server {result['id']}: {result.get('msg', '')}" for result in failures
            )
        if self._task.diff:
            answer["diff"] = [entry for result in results for entry in _diffs(result)]
        return answer


def _missing_image(result: Result) -> str | None:
    """Return the id of the image whose bytes the host asks for, if it does."""
    missing = result.get("missing_base")
    return (
        str(missing["image_id"]) if isinstance(missing, dict) and missing.get("image_id") else None
    )


def _failure(item_id: str, msg: str) -> Result:
    return {"id": item_id, "changed": False, "failed": True, "msg": msg, "steps": []}


def _diffs(result: Result) -> list[Result]:
    """Return the diffs of an item's steps, for --diff to print."""
    found: list[Result] = []
    for step in result.get("steps") or []:
        diff = step.get("diff")
        entries = diff if isinstance(diff, list) else [diff]
        found += [entry for entry in entries if isinstance(entry, dict) and step.get("changed")]
    return found
