"""Drive one live migration: a program of its own, run by the Python that has libvirt's bindings.

Reads one line of JSON: server_id; source and destination, each the path of a program whose ends are
libvirt's; address (of the destination) and listen (of its consoles); block, whether disks are
copied; free_bytes of the destination's disk, null where that is not known; force_file, whose being
there asks to have it over with; settle, to find out where the server is, and no more; look, to say
what would come of it from reads alone. Prints lines of JSON: {"progress": {...}} while it goes on,
at the end {"where": "source"|"destination"|null, "moved": whether it was us, "downtime_ms": ...,
"checks": what was compared, "error": ...}. See docs/adr/0011.

The order of calls follows `virDomainMigrateVersion3Full` of libvirt, which OpenStack Nova leaves to
the hosts themselves (peer to peer).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import libvirt

SETTLE_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.5
GOES_WITHIN_S = 5.0
# The most that QEMU takes: what is left goes over at once, however long the guest stands still.
DOWNTIME_MAX_MS = 2_000_000
# What may become full besides while the disks are copied.
SPARE_BYTES = 64 << 20
NUMBERS = {
    f"{kind}_{part}": f"{kind}_{part}_bytes"
    for kind in ("memory", "disk")
    for part in ("total", "processed", "remaining")
}


class Refused(Exception):
    """It is not begun: why, and the way out."""


class Unsettled(Exception):
    """It can't be told now which host has the server."""


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    # Else a connection that has died without a word is never noticed.
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_events, daemon=True).start()
    try:
        move = Move(asked)
        say(move.look() if asked["look"] else move.run())
    except (libvirt.libvirtError, Unsettled) as error:
        say({"where": None, "moved": False, "error": str(error)})


def _events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


class Move:
    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked, self.error = asked, ""
        self.source, self.source_error = _connection(asked["source"])
        self.destination, self.destination_error = _connection(asked["destination"])

    def run(self) -> dict[str, Any]:
        """Have the server at the destination, if it can be; say where it is in the end."""
        where, moved, downtime = self.settle(), False, {}
        if where == "source" and not self.asked["settle"]:
            self.error = self.source_error or self.destination_error
            if not self.error:
                try:
                    downtime = self.migrate()
                except (Refused, libvirt.libvirtError) as error:
                    self.error = str(error)
                where = self.settle()
                moved = where == "destination"
        return {
            "where": where, "moved": moved, "error": self.error if where == "source" else "",
            **downtime,
        }  # fmt: skip

    def look(self) -> dict[str, Any]:
        """Say where the server would be in the end, and what of the hosts was compared."""
        error = self.source_error or self.destination_error
        if error:
            return {"where": None, "moved": False, "error": error}
        here, there = self.domain(self.source), self.domain(self.destination)
        if here is None:
            if there is None or not _has_won(there):
                raise Unsettled("the source has no such server, nor does it run at the destination")
            return {"where": "destination", "moved": False, "error": ""}
        try:
            return {
                "where": "destination", "moved": True, "error": "", "checks": self.check(here),
            }  # fmt: skip
        except (Refused, libvirt.libvirtError) as refused:
            return {"where": "source", "moved": False, "error": str(refused)}

    def settle(self) -> str:
        """Wait until no job is left, then finish what a client that is gone has left half done.

        The destination's guest begins to run when the client says so, after the source's has
        stopped for good: so one that runs at the source runs nowhere else, and one that runs at the
        destination has won. One at the destination that doesn't, with no job left, never will; it
        goes before the source's is resumed, so that no two ever run.
        """
        here, there = self.domain(self.source), self.domain(self.destination)
        for domain, ours in ((here, True), (there, False)):
            wait_for_jobs(domain, abort=ours)
        here, there = self.domain(self.source), self.arrived()
        if there is not None and _has_won(there):
            if here is not None:
                remove(here)
            return "destination"
        if self.source is None:
            # Nothing is at the destination, and only a client past our lock could bring it there.
            if self.destination is not None and there is None:
                return "source"
            raise Unsettled(f"the source does not answer: {self.source_error}")
        if here is None:
            raise Unsettled("the source has no such server, and it does not run at the destination")
        state, reason = here.state()
        stopped_by_us = state == libvirt.VIR_DOMAIN_PAUSED and reason in (
            libvirt.VIR_DOMAIN_PAUSED_MIGRATION, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN
        )  # fmt: skip
        if self.destination is None and stopped_by_us:
            raise Unsettled(f"the destination does not answer: {self.destination_error}")
        if there is not None:
            remove(there)
        if stopped_by_us:
            here.resume()
        return "source"

    def arrived(self) -> Any:
        """Return the destination's domain once it runs; else what of it does not go by itself.

        Its libvirt hears of the end of a client a moment after us, and removes it then.
        """
        deadline = time.monotonic() + GOES_WITHIN_S
        while True:
            there = self.domain(self.destination)
            if there is None or _has_won(there) or time.monotonic() > deadline:
                return there
            time.sleep(0.1)

    def domain(self, connection: Any) -> Any:
        if connection is None:
            return None
        try:
            return connection.lookupByUUIDString(self.asked["server_id"])
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def check(self, domain: Any) -> list[str]:
        """Refuse what would fail, before anything is begun; return what fits. Raises Refused."""
        state, _ = domain.state()
        if state not in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_PAUSED):
            raise Refused("the server does not run at the source: start it, or migrate it cold")
        root = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE))  # noqa: S314 -- libvirt's own
        checks = [f"CPU: {self.check_cpu(root)}"]
        free = self.asked["free_bytes"]
        if self.asked["block"] and free is not None:
            wanted = sum(domain.blockInfo(each)[1] for each in _copied_disks(domain)) + SPARE_BYTES
            if wanted > free:
                raise Refused(
                    f"the destination's disk has {free >> 20} MiB left, and the server's disks "
                    f"take {wanted >> 20}: free some there, or choose another host"
                )
            checks.append(f"disks: {wanted >> 20} MiB of {free >> 20} MiB that are left")
        return checks

    def check_cpu(self, root: ET.Element) -> str:
        """Refuse a destination whose CPU lacks what the guest sees; return what is known of it."""
        unknown = "compared by the destination itself, when the guest comes"
        cpu, kind = root.find("cpu"), root.find("os/type")
        if cpu is None or kind is None or cpu.find("model") is None:
            return unknown
        try:
            fits = self.destination.compareHypervisorCPU(
                None, kind.get("arch"), kind.get("machine"), root.get("type"),
                ET.tostring(cpu, encoding="unicode"), 0,
            )  # fmt: skip
        except libvirt.libvirtError:
            # An emulator that can't answer: the destination itself refuses what it can't do.
            return unknown
        if fits == libvirt.VIR_CPU_COMPARE_INCOMPATIBLE:
            raise Refused(
                "the destination's CPU lacks features that the guest was started with; choose a "
                "host with a CPU like the source's, or set compute_cpu_mode to a model of both"
            )
        return "the destination has all that the guest sees"

    def migrate(self) -> dict[str, Any]:
        """Migrate it; what libvirt refuses is in `error`. Raises Refused, libvirtError."""
        domain = self.domain(self.source)
        self.check(domain)
        thread = threading.Thread(target=self._go, args=(domain, *self._told(domain)), daemon=True)
        thread.start()
        forced = False
        while thread.is_alive():
            thread.join(LOOK_EVERY_S)
            with contextlib.suppress(libvirt.libvirtError):
                stats = domain.jobStats()
                say({"progress": {ours: stats.get(name, 0) for name, ours in NUMBERS.items()}})
                if not forced and os.path.exists(self.asked["force_file"] or ""):
                    domain.migrateSetMaxDowntime(DOWNTIME_MAX_MS, 0)
                    forced = True
        with contextlib.suppress(libvirt.libvirtError, AttributeError):
            done = self.domain(self.destination).jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
            return {"downtime_ms": done.get("downtime_net", done.get("downtime"))}
        return {}

    def _go(self, domain: Any, parameters: dict[str, Any], flags: int) -> None:
        try:
            domain.migrate3(self.destination, parameters, flags)
        except libvirt.libvirtError as error:
            self.error = str(error)

    def _told(self, domain: Any) -> tuple[dict[str, Any], int]:
        flags = (
            libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PERSIST_DEST
            | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE | libvirt.VIR_MIGRATE_TLS
            | libvirt.VIR_MIGRATE_AUTO_CONVERGE
        )  # fmt: skip
        # Disks are copied beneath the guest; shared ones are safe by their cache mode, which
        # libvirt can't tell of every network filesystem.
        flags |= (
            libvirt.VIR_MIGRATE_NON_SHARED_INC
            if self.asked["block"]
            else libvirt.VIR_MIGRATE_UNSAFE
        )
        address = self.asked["address"]
        parameters: dict[str, Any] = {
            libvirt.VIR_MIGRATE_PARAM_URI: f"tcp://{_bracketed(address)}",
            libvirt.VIR_MIGRATE_PARAM_TLS_DESTINATION: address,
        }
        secret = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
        running = domain.XMLDesc(secret)
        parameters[libvirt.VIR_MIGRATE_PARAM_DEST_XML] = self._listening(running)
        stored = domain.XMLDesc(secret | libvirt.VIR_DOMAIN_XML_INACTIVE)
        parameters[libvirt.VIR_MIGRATE_PARAM_PERSIST_XML] = self._listening(stored)
        return parameters, flags

    def _listening(self, xml: str) -> str:
        """Return the definition with its consoles where the destination has them."""
        root = ET.fromstring(xml)  # noqa: S314 -- libvirt's own
        for graphics in root.iter("graphics"):
            graphics.attrib.pop("listen", None)
            for listen in graphics.iter("listen"):
                listen.set("address", self.asked["listen"])
        return ET.tostring(root, encoding="unicode")


def _connection(program: str) -> tuple[Any, str]:
    try:
        connection = libvirt.open(f"qemu+ext:///system?command={program}")
        connection.setKeepAlive(5, 6)
        return connection, ""
    except libvirt.libvirtError as error:
        return None, str(error)


def _has_won(domain: Any) -> bool:
    """Whether it is the server, and not what waits for a guest that is not coming any more.

    A guest that its owner had paused comes in as one that a user has paused.
    """
    try:
        state, reason = domain.state()
    except libvirt.libvirtError:
        return False
    paused = state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_USER
    return bool(state == libvirt.VIR_DOMAIN_RUNNING or paused)


def _copied_disks(domain: Any) -> Iterator[str]:
    root = ET.fromstring(domain.XMLDesc())  # noqa: S314 -- libvirt's own
    for disk in root.iterfind("devices/disk"):
        target = disk.find("target")
        if target is not None and disk.find("readonly") is None:
            yield str(target.get("dev"))


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def wait_for_jobs(domain: Any, *, abort: bool) -> None:
    """Return once nothing is done to the domain; with `abort`, not before it is told to give up."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while domain is not None:
        try:
            if domain.jobInfo()[0] in (
                libvirt.VIR_DOMAIN_JOB_NONE, libvirt.VIR_DOMAIN_JOB_COMPLETED,
                libvirt.VIR_DOMAIN_JOB_FAILED, libvirt.VIR_DOMAIN_JOB_CANCELLED,
            ):  # fmt: skip
                return
            if abort:
                domain.abortJob()
        except libvirt.libvirtError as error:
            if error.get_error_code() in (
                libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID
            ):  # fmt: skip
                return
        if time.monotonic() > deadline:
            raise Unsettled("a job on the domain does not end")
        time.sleep(0.1)


def remove(domain: Any) -> None:
    with contextlib.suppress(libvirt.libvirtError):
        domain.destroy()
    with contextlib.suppress(libvirt.libvirtError):
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
