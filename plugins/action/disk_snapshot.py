"""The action half of `novella.cloud.disk_snapshot`: brings the copy to this side."""

from __future__ import annotations

import copy
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.novella.cloud.plugins.plugin_utils import host_command, snapshot_stream


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        answer: dict[str, Any] = super().run(tmp, task_vars)
        step = {"module": "disk_snapshot", "args": copy.deepcopy(dict(self._task.args))}
        target = snapshot_stream.take_target(step)
        result: dict[str, Any] = self._execute_module(
            module_name="novella.cloud.disk_snapshot",
            module_args=step["args"],
            task_vars=task_vars,
        )
        result.pop("image", None)
        made = result.get("snapshot")
        if target and isinstance(made, dict) and not self._task.check_mode:
            try:
                result["image"] = snapshot_stream.fetch(
                    host_command.runner(self._connection), made, target
                )
            except snapshot_stream.FetchError as error:
                result |= {"failed": True, "msg": str(error)}
        return {**answer, **result}
