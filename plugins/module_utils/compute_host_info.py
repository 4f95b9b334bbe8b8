"""What a host can carry: the work of the module `compute_host_info`."""

from __future__ import annotations

import contextlib
import glob
import os
import platform
import re
from typing import Any

from . import host_virtualization, libvirt_connection, work
from .instance_paths import STATE_PATH, InstancePaths

ARGUMENT_SPEC: dict[str, Any] = {
    "state_path": {"type": "path", "default": STATE_PATH},
    "virt_type": {"type": "str", "choices": ["auto", "kvm", "qemu"], "default": "auto"},
    "uri": {"type": "str", "default": libvirt_connection.URI},
}

# Bytes, as the metadata server takes them.
PASSWORD_MAX_BYTES = 1020
PASSWORD_FILE_RE = re.compile(r"[0-9a-f-]{36}\.[0-9]{1,9}")


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:  # noqa: ARG001 - reads only
    """Return `host`; see the module compute_host_info for what is in it.

    Memory is in MiB, disk in GiB, both rounded down: the scheduler must not count on more.
    """
    wanted = params.get("virt_type") or "auto"
    virt_type = host_virtualization.virt_type() if wanted == "auto" else wanted
    disk = _disk(InstancePaths(params.get("state_path") or STATE_PATH).instances)
    host = {
        "hostname": platform.node(),
        "boot_id": boot_id(),
        "machine_id": (work.read_file("/etc/machine-id") or "").strip(),
        "architecture": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "cpu_model": _cpu_model(),
        "memory_mb": _memory_mb(),
        **disk,
        "virt_type": virt_type,
        "vlan": has_vlans(),
        **_libvirt(params.get("uri"), virt_type),
        "posted_passwords": posted_passwords(params.get("state_path") or STATE_PATH),
    }
    return {"changed": False, "host": host}


def posted_passwords(state_path: str) -> dict[str, str]:
    """Return what guests have posted to their metadata servers, each encrypted by its owner's key:
    `<server id>.<serial>` to the text.
    """
    found = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(state_path), "networks/*/passwords/*"))):
        name = os.path.basename(path)
        if PASSWORD_FILE_RE.fullmatch(name):
            with contextlib.suppress(OSError):
                # The folder is the metadata server's: nothing that it lies there is followed.
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                with os.fdopen(descriptor, "rb") as file:
                    found[name] = file.read(PASSWORD_MAX_BYTES).decode("ascii", "replace")
    return found


def boot_id(proc: str = "/proc") -> str:
    """Return what is another text after each boot, of a container too, whose kernel goes on."""
    kernel = (work.read_file(f"{proc}/sys/kernel/random/boot_id") or "").strip()
    # Behind the name, which may hold anything: the 22nd field is when pid 1 began.
    fields = (work.read_file(f"{proc}/1/stat") or "").rpartition(")")[2].split()
    return f"{kernel}/{fields[19]}" if len(fields) > 19 else kernel


def has_vlans(proc: str = "/proc") -> bool:
    """Whether the kernel has VLANs, or could load them."""
    if os.path.isdir(f"{proc}/net/vlan"):
        return True
    try:
        work.run_command(["modprobe", "--dry-run", "--quiet", "8021q"])
    except work.WorkError:
        return False
    return True


def _cpu_model(path: str = "/proc/cpuinfo") -> str:
    for line in (work.read_file(path) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _memory_mb(path: str = "/proc/meminfo") -> int:
    for line in (work.read_file(path) or "").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) // 1024
    raise work.WorkError(f"Cannot tell the memory of this host: {path} has no MemTotal.")


def _disk(folder: str) -> dict[str, int]:
    # Before enrolment the folder is not there; what is above it lies on the same disk, or will.
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    usage = os.statvfs(folder)
    return {
        "disk_gb": usage.f_blocks * usage.f_frsize >> 30,
        "disk_free_gb": usage.f_bavail * usage.f_frsize >> 30,
    }


def _libvirt(uri: str | None, virt_type: str) -> dict[str, Any]:
    import xml.etree.ElementTree as ET

    arch = platform.machine()
    with libvirt_connection.connected(uri) as connection:
        doing = f"read what QEMU can do here as {virt_type}; is a QEMU for {arch} installed?"
        with libvirt_connection.explained(doing):
            text = connection.getDomainCapabilities(None, arch, None, virt_type)
            versions = connection.getLibVersion(), connection.getVersion()
            domains = connection.numOfDomains()
            ours = [one for one in connection.listAllDomains() if one.name().startswith("novella-")]
        states = {one.UUIDString(): libvirt_connection.state_name(one) for one in ours}
    capabilities = ET.fromstring(text)  # noqa: S314 - from the local libvirt
    return {
        "emulator": capabilities.findtext("path"),
        "machine": capabilities.findtext("machine"),
        "libvirt_version": _version(versions[0]),
        "qemu_version": _version(versions[1]),
        "running_domains": domains,
        "domain_states": states,
    }


def _version(number: int) -> str:
    """7002022 is 7.2.22."""
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"
