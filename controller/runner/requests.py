"""What is asked of an executor, and what it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from controller.runner.host_text import keepable
from controller.ssh import HostAccess

OK, FAILED, UNREACHABLE, TIMEOUT, CANCELLED = "ok", "failed", "unreachable", "timeout", "cancelled"

# Of an item's result (plugins/module_utils/journal.py); one without it is like the first.
ITEM_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Run:
    """One launch of a playbook.

    `id` names the run's folders; `keep_as` those of its artifacts, one for each operation that it
    is for. `arguments` are the playbook's variables without secrets; `secrets` is the content of
    the one no_log dictionary `server_secrets`. `cancelled` is asked while it runs. `about` has, for
    each of `keep_as`, what is to stand beside its results: request and server. `on_item` gets a
    host's id and an item's result as it ends; the run's own results have them all again. It raises
    nothing. With `reports_progress` items come as well that say how far they are, under `progress`.
    `forced`, asked while it runs, has a migration be over with. `file_max_bytes` is how large a
    file it may write, where that is more than others may.
    """

    id: str
    playbook: str
    hosts: tuple[HostAccess, ...]
    arguments: Mapping[str, Any]
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    check: bool = False
    timeout_s: int = 900
    file_max_bytes: int | None = None
    # An operator's own playbook, run in the place of ours of that name; it counts as done when a
    # task of it has ended well on the run's host or on localhost.
    own_playbook: Path | None = None
    keep_as: tuple[str, ...] = ()
    about: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    cancelled: Callable[[], bool] = lambda: False
    on_item: Callable[[str, dict[str, Any]], None] = lambda _host_id, _item: None
    reports_progress: bool = False
    forced: Callable[[], bool] = lambda: False

    @property
    def is_batch(self) -> bool:
        """Whether it is about several servers."""
        return len(self.arguments.get("servers", ())) > 1


@dataclass(frozen=True, slots=True)
class HostResult:
    """What one host did. `items` are the results of its `apply` tasks, one for each server:
    {"id", "format_version", "changed", "failed", "msg", "steps", ...}. `facts` is what
    compute_host_info, host_audit_info or host_domains_info said. `refusal` is the words of a task
    that did nothing but refuse (fail, assert).

    All of it comes from the host, so the reader checks it.
    """

    status: str
    items: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `hosts` is by host id; `message` says what failed, for operators.

    `warm` says whether the fork server ran it, `cold_because` why not.
    """

    status: str
    hosts: dict[str, HostResult] = field(default_factory=dict)
    message: str = ""
    stats: dict[str, Any] = field(default_factory=dict)
    duration_s: float = 0.0
    warm: bool = False
    cold_because: str = ""

    def of(self, host_id: str) -> HostResult:
        """Return the host's result; one that said nothing shares the fate of the run.

        A run that ended well without a word from the host did not do the host's work. All text in
        it can be kept; whether it is true is for the reader to check.
        """
        status = FAILED if self.status == OK else self.status
        said = self.hosts.get(host_id) or HostResult(status, message=self.message)
        return HostResult(
            said.status,
            keepable(said.items),
            keepable(said.facts),
            keepable(said.message),
            keepable(said.refusal),
        )


class Executor(Protocol):
    """`runner.ansible.AnsibleExecutor`, or `runner.simulated.SimulatedExecutor`."""

    def run(self, run: Run) -> RunResult:
        """Do the run and return how it ended. Raises nothing for what goes wrong in it."""

    def clean_up(self) -> None:
        """End and remove what runs of killed predecessors of this process left behind."""

    def close(self) -> None:
        """Give up what the executor holds; no run may be under way."""
