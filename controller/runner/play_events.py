"""What a play says while it runs, gathered into a result for each host.

All of it is untrusted: it comes from the host. What is no dictionary or no list where one belongs
is dropped here, and text is made such that a database can keep it; the conductor checks the rest
against its own operation.
"""

from collections.abc import Callable
from typing import Any

from controller.runner.host_text import keepable
from controller.runner.requests import FAILED, OK, UNREACHABLE, HostResult

# What a host says in words is cut here: a message goes into a database column.
MESSAGE_MAX = 4000

# The modules that do nothing but say why not, in words that somebody wrote for it.
REFUSING = frozenset({"fail", "assert"})
REFUSAL_MAX = 255
# The modules that have a result for each server.
ITEM_MODULES = frozenset({"apply", "live_migration"})
# The modules that say something of the host itself, and where in their results.
FACTS = {
    "compute_host_info": "host",
    "host_audit_info": "audit",
    "host_domains_info": "found",
    "base_image_check": "bases",
}


class PlayEvents:
    """Takes ansible-runner's events one by one; `results` tells of the hosts by their ids.

    `on_item` gets a host's id and a server's result as soon as its task has ended.
    """

    def __init__(
        self,
        host_ids_by_name: dict[str, str],
        on_item: Callable[[str, dict[str, Any]], None] = lambda _host_id, _item: None,
    ) -> None:
        self._ids = host_ids_by_name
        self._on_item = on_item
        self._items: dict[str, list[dict[str, Any]]] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._messages: dict[str, list[str]] = {}
        self._refusals: dict[str, str] = {}
        self._status: dict[str, str] = {}
        self.stats: dict[str, Any] = {}
        # Errors before the first task: a playbook that can't be read, an inventory without hosts.
        self.complaints: list[str] = []
        # Something is missing from what the hosts said: the run can't count as done.
        self.incomplete = False

    def take(self, event: dict[str, Any]) -> bool:
        """Take an event; the answer False keeps ansible-runner from writing it to a file."""
        kind, data = event.get("event"), event.get("event_data") or {}
        if kind == "playbook_on_stats":
            self.stats = {
                name: data.get(name) or {} for name in ("ok", "changed", "failures", "dark")
            }
        elif kind in ("error", "warning"):
            self.complaints.append(keepable(str(event.get("stdout", "")))[:MESSAGE_MAX])
        elif kind in ("runner_on_ok", "runner_on_failed", "runner_on_unreachable"):
            self._take_task(kind, data)
        return False

    def complain(self, text: str) -> None:
        """Note that not all was taken in, and why."""
        self.incomplete = True
        self.complaints.insert(0, text)

    def results(self) -> dict[str, HostResult]:
        """Return the result of each host that said something, by host id."""
        return {
            host_id: HostResult(
                self._status.get(host_id, OK),
                self._items.get(host_id, []),
                self._facts.get(host_id, {}),
                "; ".join(self._messages.get(host_id, []))[:MESSAGE_MAX],
                self._refusals.get(host_id, ""),
            )
            for host_id in self._status
        }

    def _take_task(self, kind: str, data: dict[str, Any]) -> None:
        host_id = self._ids.get(str(data.get("host")))
        if host_id is None:
            return
        result = keepable(data.get("res"))
        result = result if isinstance(result, dict) else {}
        # Tasks go by their full name or a short one, as the play writes them.
        module = str(data.get("resolved_action") or data.get("task_action")).rpartition(".")[2]
        if module in ITEM_MODULES and isinstance(result.get("results"), list):
            items = [item for item in result["results"] if isinstance(item, dict)]
            self._items.setdefault(host_id, []).extend(items)
            for item in items:
                self._on_item(host_id, item)
        said = result.get(FACTS.get(module, ""))
        if isinstance(said, dict):
            self._facts[host_id] = said
        self._note(host_id, kind, data, result)
        if kind == "runner_on_failed" and module in REFUSING:
            self._refusals[host_id] = str(result.get("msg") or "")[:REFUSAL_MAX]

    def _note(self, host_id: str, kind: str, data: dict[str, Any], result: dict[str, Any]) -> None:
        self._status.setdefault(host_id, OK)
        if kind == "runner_on_ok" or data.get("ignore_errors"):
            return
        self._status[host_id] = UNREACHABLE if kind == "runner_on_unreachable" else FAILED
        said = str(result.get("msg") or result.get("module_stderr") or "no message")
        self._messages.setdefault(host_id, []).append(f"{data.get('task')}: {said}"[:MESSAGE_MAX])
