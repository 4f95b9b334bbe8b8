"""Let a run's own process sleep until a task has ended.

Ansible's looks for results some hundred times a second, all the while its worker waits for a host;
of two runs of half a minute that was a second of CPU. Here whoever brings a result wakes it.
"""

import threading
from collections import deque
from typing import Any

# How often it looks whether a worker has died, which brings no result.
LOOK_EVERY_S = 0.1


class _Results(deque[Any]):
    """Ansible's queue of results, with the word that there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Event()

    def append(self, result: Any) -> None:
        super().append(result)
        self.arrived.set()


def until_a_task_ends() -> None:
    """Have Ansible's strategies wait so. Call once, with Ansible imported."""
    from ansible.errors import AnsibleError
    from ansible.plugins.strategy import StrategyBase

    plainly = StrategyBase.__init__

    def make(self: Any, *arguments: Any, **options: Any) -> None:
        plainly(self, *arguments, **options)
        # Empty still, though the thread that fills it has started.
        with self._results_lock:
            results = _Results()
            results.extend(self._results)
            self._results = results

    def wait(self: Any, iterator: Any) -> list[Any]:
        found: list[Any] = []
        while self._pending_results > 0 and not self._tqm._terminated:
            if self._tqm.has_dead_workers():
                raise AnsibleError("A worker was found in a dead state")
            # Before the look: what comes behind it must wake us.
            self._results.arrived.clear()
            found.extend(self._process_pending_results(iterator))
            if self._pending_results > 0:
                self._results.arrived.wait(LOOK_EVERY_S)
        return found

    StrategyBase.__init__ = make
    StrategyBase._wait_on_pending_results = wait
