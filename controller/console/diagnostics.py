"""What libvirt counts of a server that runs: asked of its host, in one go."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from controller import host_names
from controller.console import host_reads
from controller.db.models import Host
from controller.errors import Conflict
from controller.settings import Settings

Counters = Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Counters of each CPU, card and disk, under the names of libvirt's domstats.

    Times are nanoseconds, memory KiB. A card or a disk has its device's name beside them.
    """

    cpu_time_ns: int | None
    memory: Counters
    cpus: list[Counters]
    cards: list[tuple[str, Counters]]
    disks: list[tuple[str, Counters]]


def read(settings: Settings, host: Host, server_id: str) -> Diagnostics:
    """Return the diagnostics. Raises Conflict for a guest that is off, Unavailable."""
    domain = shlex.quote(host_names.domain(server_id))
    what = f"the diagnostics of server {server_id}"
    done = host_reads.ask(settings, host, what, "virsh", "--readonly", "domstats", "--raw", domain)
    said = parse(done.stdout.decode(errors="replace"))
    # 1 runs, 3 is paused.
    if done.returncode != 0 or said.get("state.state") not in ("1", "3"):
        raise Conflict(f"Cannot read {what}: its guest is off. Start it first.")
    return _diagnostics(said)


def parse(text: str) -> dict[str, str]:
    """Return the lines `name=value` of the answer; what a host says is untrusted."""
    pairs = (line.strip().partition("=") for line in text.splitlines())
    return {name: value for name, found, value in pairs if found}


def _diagnostics(said: Mapping[str, str]) -> Diagnostics:
    return Diagnostics(
        _number(said.get("cpu.time")),
        _counters(said, "balloon."),
        [_counters(said, f"vcpu.{index}.") for index in range(_count(said, "vcpu.current"))],
        [_device(said, f"net.{index}.") for index in range(_count(said, "net.count"))],
        [_device(said, f"block.{index}.") for index in range(_count(said, "block.count"))],
    )


def _device(said: Mapping[str, str], prefix: str) -> tuple[str, Counters]:
    return said.get(f"{prefix}name", ""), _counters(said, prefix)


def _counters(said: Mapping[str, str], prefix: str) -> dict[str, int | None]:
    start = len(prefix)
    return {name[start:]: _number(value) for name, value in said.items() if name.startswith(prefix)}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None


def _count(said: Mapping[str, str], name: str) -> int:
    """Return how many there are; a host that says more than a server can have is not believed."""
    return min(_number(said.get(name)) or 0, 256)
