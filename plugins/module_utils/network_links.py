"""Read and change a host's network interfaces through `ip`, in few processes.

pyroute2 would do, but importing it costs more CPU than all the `ip` processes of a create.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from . import names, work

INTERFACE_RE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
# Kernel state goes at a boot, and so may its locks. One is enough for all bridges and namespaces:
# making one takes a fraction of a second.
LOCKS = "/run/novella/locks"
NETWORKS_LOCK = f"{LOCKS}/networks.lock"
OWN_MEMBERS = (
    names.TAP_PREFIX, names.VETH_PREFIX, names.LEG_PREFIX, names.EXTERNAL_PREFIX,
)  # fmt: skip

NETNS_FOLDER = "/run/netns"
CLONE_NEWNET = 0x40000000

Links = dict[str, dict[str, Any]]
Result = TypeVar("Result")


def links(netns: str | None = None) -> Links:
    """Return the interfaces of the root namespace, or of `netns`, by name, as `ip -j -d addr`."""
    return parsed(work.run_command(argv(netns)))


def argv(netns: str | None = None) -> list[str]:
    """Return the command whose output `parsed` takes."""
    return ["ip", *(["-n", netns] if netns else []), "-j", "-d", "addr", "show"]


def parsed(said: str) -> Links:
    return {link["ifname"]: link for link in json.loads(said or "[]") if link}


def batch(lines: Iterable[str], netns: str | None = None) -> None:
    """Carry out `ip` commands, one a line, in one process; it stops at the first that fails."""
    text = "\n".join(lines)
    if text:
        words = ["ip", *(["-n", netns] if netns else []), "-batch", "-"]
        work.run_command(words, input=text + "\n")


def inside(netns: str, action: Callable[[], Result]) -> Result:
    """Return what `action` does in the network namespace `netns`, whose settings /proc/sys has.

    In a thread of its own, as a namespace is a thread's. Raises WorkError when there is none.
    """
    outcome: list[Result] = []
    failures: list[Exception] = []

    def enter() -> None:
        try:
            with open(os.path.join(NETNS_FOLDER, netns), "rb") as file:
                _set_namespace(file.fileno())
            outcome.append(action())
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failures:
        raise work.WorkError(
            f"Cannot work in the namespace {netns}: {failures[0]}. Run this again; if it fails "
            f"again, remove the namespace (`ip netns delete {netns}`) first."
        ) from failures[0]
    return outcome[0]


def _set_namespace(descriptor: int) -> None:
    # os.setns came with Python 3.12. Ansible has loaded ctypes in any case.
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def members(all_links: Links, bridge: str) -> list[str]:
    """Return the names of the interfaces in `bridge`, sorted."""
    return sorted(name for name, link in all_links.items() if link.get("master") == bridge)


def uplinks(all_links: Links, bridge: str) -> list[str]:
    """Return the members of `bridge` that lead out of the host: neither taps nor our own cable."""
    return [name for name in members(all_links, bridge) if not name.startswith(OWN_MEMBERS)]


def check_interface(name: Any, what: str) -> str:
    """Return `name` when it may be an interface's name. Raises WorkError naming `what`."""
    if isinstance(name, str) and INTERFACE_RE.fullmatch(name):
        return name
    raise work.WorkError(
        f"{what} {name!r} is no name of an interface. Use 15 letters, digits, '.', '_' or '-' at "
        "most, as `ip link` shows them."
    )


def is_ipv6_off(name: str) -> bool:
    """Whether IPv6 is off on an interface (or in the whole kernel)."""
    said = work.read_file(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
    return said is None or said.strip() == "1"


def switch_off_ipv6(name: str) -> None:
    """Keep the host from having a link-local address on `name`, and from speaking there."""
    path = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"
    # Not write_file: nothing can be renamed in /proc.
    with contextlib.suppress(FileNotFoundError), open(path, "w", encoding="ascii") as file:
        file.write("1\n")
