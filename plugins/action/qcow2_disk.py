"""The action half of `novella.cloud.qcow2_disk`: sends the image when the host has no base."""

from __future__ import annotations

import copy
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.novella.cloud.plugins.plugin_utils import image_stream


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    # Another module that takes an image as `base` has the same action half.
    _MODULE = "novella.cloud.qcow2_disk"

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        answer: dict[str, Any] = super().run(tmp, task_vars)
        arguments = copy.deepcopy(dict(self._task.args))
        sources = image_stream.take_source({"args": arguments})
        result = self._execute(arguments, task_vars)
        missing = result.get("missing_base")
        # The host's word is taken only for the image that this task is about.
        if isinstance(missing, dict) and missing.get("image_id") in sources:
            image_id = missing["image_id"]
            state_path = str(arguments.get("state_path") or "/var/lib/novella")
            try:
                image_stream.send(self._command, sources[image_id], image_id, state_path)
            except image_stream.StreamError as error:
                return {**answer, "failed": True, "msg": str(error)}
            result = self._execute(arguments, task_vars)
        return {**answer, **result}

    def _execute(
        self, arguments: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name=self._MODULE, module_args=arguments, task_vars=task_vars
        )
        return result

    def _command(self, command: str, data: bytes) -> dict[str, Any]:
        done: dict[str, Any] = self._low_level_execute_command(command, in_data=data)
        return done
