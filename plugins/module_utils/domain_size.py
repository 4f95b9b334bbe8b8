"""How large a running domain is: vCPUs plugged in, memory by its balloon; `domain_size`.

A vCPU is never taken out: the guest must let go of it, and few do (a Debian guest did not, and
libvirt's request hung in the air). It keeps it until its next start. Both stay below what the
domain was started with as the most. The definition of its next start is `libvirt_domain`'s.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from . import libvirt_connection, running_guest, work

ARGUMENT_SPEC: dict[str, Any] = {
    **running_guest.ARGUMENT_SPEC,
    "vcpus": {"type": "int", "required": True},
    "memory_mb": {"type": "int", "required": True},
    "timeout_s": {"type": "int", "default": 60},
}
OFF = frozenset({"stopped", "crashed"})
STATES = frozenset({"running", *OFF})
POLL_S = 0.2
AGENT_TIMEOUT_S = 5
# A balloon counts in pages, and may stay a few short.
SLACK_KIB = 1024


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the running domain to `vcpus` and `memory_mb`; the module's work.

    One that is off is left alone, and so are vCPUs beyond `vcpus`. Returns `changed`, `diff` and
    `size` {vcpus, memory_mb}. Raises WorkError beyond what it was started with, and when its guest
    does not go along with the memory in `timeout_s`.
    """
    with libvirt_connection.connected(params.get("uri")) as connection:
        domain = running_guest.find(connection, params, STATES)
        if libvirt_connection.state_name(domain) in OFF:
            return {"changed": False, "diff": [], "size": {}}
        before = _size(domain)
        wanted = {"vcpus": params["vcpus"], "memory_mb": params["memory_mb"]}
        _check_limits(domain, params["server_id"], wanted)
        if not check_mode:
            timeout_s = params.get("timeout_s") or ARGUMENT_SPEC["timeout_s"]["default"]
            # First what a guest may refuse.
            if not _is_memory(domain, wanted["memory_mb"]):
                _set_memory(domain, params["server_id"], wanted["memory_mb"], timeout_s)
            if before["vcpus"] < wanted["vcpus"]:
                _plug_vcpus(domain, params["server_id"], wanted["vcpus"])
    if abs(before["memory_mb"] - wanted["memory_mb"]) << 10 <= SLACK_KIB:
        before["memory_mb"] = wanted["memory_mb"]
    wanted["vcpus"] = max(before["vcpus"], wanted["vcpus"])
    changed = before != wanted
    what = f"size of the running server {params['server_id']}"
    diff = [work.text_diff(what, _shown(before), _shown(wanted))] if changed else []
    return {"changed": changed, "diff": diff, "size": wanted}


def _size(domain: Any) -> dict[str, int]:
    import libvirt

    with libvirt_connection.explained(f"read the size of domain {domain.name()}"):
        vcpus = domain.vcpusFlags(libvirt.VIR_DOMAIN_AFFECT_LIVE)
        return {"vcpus": int(vcpus), "memory_mb": round(domain.info()[2] / 1024)}


def _check_limits(domain: Any, server_id: str, wanted: dict[str, int]) -> None:
    import libvirt

    with libvirt_connection.explained(f"read the limits of domain {domain.name()}"):
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_VCPU_MAXIMUM
        most = {"vcpus": int(domain.vcpusFlags(flags)), "memory_mb": domain.maxMemory() >> 10}
    for name, each in wanted.items():
        if not 0 < each <= most[name]:
            raise work.WorkError(
                f"Refused {name} {each} for server {server_id} while it runs: it was started with "
                f"{most[name]} as the most. Start it again with a larger definition (hard reboot)."
            )


def _plug_vcpus(domain: Any, server_id: str, wanted: int) -> None:
    import libvirt

    with libvirt_connection.explained(f"give server {server_id} {wanted} vCPUs"):
        domain.setVcpusFlags(wanted, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    _tell_agent(domain, wanted)


def _tell_agent(domain: Any, wanted: int) -> None:
    """Have the guest use so many of its vCPUs, which some do not do by themselves."""
    import libvirt

    with contextlib.suppress(libvirt.libvirtError):
        domain.agentSetResponseTimeout(AGENT_TIMEOUT_S, 0)
        domain.setVcpusFlags(wanted, libvirt.VIR_DOMAIN_VCPU_GUEST)


def _set_memory(domain: Any, server_id: str, wanted_mb: int, timeout_s: int) -> None:
    import libvirt

    with libvirt_connection.explained(f"give server {server_id} {wanted_mb} MiB of memory"):
        domain.setMemoryFlags(wanted_mb << 10, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if not _comes(lambda: _is_memory(domain, wanted_mb), timeout_s):
        raise work.WorkError(
            f"Server {server_id} does not go to {wanted_mb} MiB of memory: after {timeout_s} s its "
            f"guest is at {_size(domain)['memory_mb']} MiB. It needs the driver virtio_balloon, "
            "and free memory to give some back. Free memory there, or resize it with a restart."
        )


def _is_memory(domain: Any, wanted_mb: int) -> bool:
    with libvirt_connection.explained(f"read the memory of domain {domain.name()}"):
        return bool(abs(domain.info()[2] - (wanted_mb << 10)) <= SLACK_KIB)


def _comes(condition: Callable[[], bool], timeout_s: int) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _shown(size: dict[str, int]) -> str:
    return f"vcpus: {size['vcpus']}\nmemory_mb: {size['memory_mb']}\n"
