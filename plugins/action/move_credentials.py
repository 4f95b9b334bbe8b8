"""The action half of `novella.cloud.move_credentials`: signs when the host has no certificate."""

from __future__ import annotations

import copy
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.novella.cloud.plugins.plugin_utils import move_authority


class ActionModule(ActionBase):
    TRANSFERS_FILES = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        answer: dict[str, Any] = super().run(tmp, task_vars)
        arguments = copy.deepcopy(dict(self._task.args))
        authority = move_authority.take_path({"args": arguments})
        result = self._execute(arguments, task_vars)
        missing = result.get("missing_certificate")
        if isinstance(missing, dict) and authority:
            try:
                arguments |= move_authority.sign(
                    authority, missing.get("public_key"), arguments["server_id"],
                    arguments["host_name"], arguments["address"],
                    live=arguments.get("purpose") == "live",
                )  # fmt: skip
            except move_authority.AuthorityError as error:
                return {**answer, "failed": True, "msg": str(error)}
            result = self._execute(arguments, task_vars)
        return {**answer, **result}

    def _execute(
        self, arguments: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name="novella.cloud.move_credentials",
            module_args=arguments, task_vars=task_vars,
        )  # fmt: skip
        return result
