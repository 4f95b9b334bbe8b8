"""Each host that is up has a play of its own, two at once: for rounds that read its disks."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from controller.core import host_access, hosts
from controller.db.base import new_id
from controller.db.models import Host
from controller.runner.requests import Executor, HostResult, Run
from controller.settings import Settings

RUNS_AT_ONCE = 2


def that_are_up(session: Session, settings: Settings, now: datetime) -> list[Host]:
    """Return the hosts that answer."""
    return [host for host in hosts.list_hosts(session) if hosts.is_up(host, settings, now)]


def count(known: Sequence[Host], work: Callable[[Host], bool], stopping: Callable[[], bool]) -> int:
    """Return for how many hosts `work` said that it was done; none is begun once `stopping`."""
    with ThreadPoolExecutor(RUNS_AT_ONCE, "each-host") as pool:
        return sum(pool.map(lambda host: not stopping() and work(host), known))


def play(
    settings: Settings,
    executor: Executor,
    host: Host,
    playbook: str,
    arguments: dict[str, Any],
    timeout_s: int,
    stopping: Callable[[], bool],
) -> HostResult:
    """Run a playbook that is about the host, and return what it said."""
    return executor.run(
        Run(
            id=new_id(),
            playbook=playbook,
            hosts=(host_access.of_host(settings, host),),
            arguments=arguments,
            timeout_s=timeout_s,
            cancelled=stopping,
        )
    ).of(host.id)
