"""Install the Debian packages that a part of Novella needs, on Debian 12 and 13.

Standard library only: this runs with the machine's python3, before any virtual environment exists.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.command import require_root, run_command
from lab.errors import LabError
from lab.progress import step

# What each part needs on every release that we support.
PACKAGES: dict[str, tuple[str, ...]] = {
    "host": (
        *("openssh-server", "libvirt-daemon-system", "libvirt-clients"),
        *("qemu-system-x86", "qemu-utils", "genisoimage", "openssl"),
        *("python3", "python3-libvirt", "python3-lxml", "python3-pyroute2"),
        *("iproute2", "iptables", "ipset", "ebtables", "dnsmasq-base", "kmod"),
    ),
    "lab": ("s6", "openssh-client", "iproute2", "util-linux", "mount", "e2fsprogs"),
    "guest": (
        *("busybox-static", "dropbear-bin", "qemu-guest-agent", "qemu-utils"),
        *("syslinux", "syslinux-common", "mtools", "dosfstools", "fdisk", "e2fsprogs"),
        *("cpio", "kmod"),
    ),
    "controller": ("openssh-client", "python3-venv"),
    # The servers run for single tests, each in a folder of its own; none is a service here.
    "test": (
        *("git", "curl", "iputils-ping", "tcpdump"),
        *("postgresql", "mariadb-server", "rabbitmq-server"),
    ),
}

# What Debian 12 has inside one of the above, and 13 apart from it.
SINCE_13: dict[str, tuple[str, ...]] = {
    "host": ("qemu-system-modules-spice",),
}

OS_RELEASE = Path("/etc/os-release")
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = """\
#!/bin/sh
# Made by Novella's `python3 -m lab packages` while it installs; removed at its end.
# 101: start no daemon. The lab's hosts run their own; this machine needs none of them.
exit 101
"""
# postinst scripts may wait for a terminal or for a restart to be agreed to; nobody is there.
APT_ENV = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}


def debian_release(os_release: str) -> int:
    """Return the Debian release that an os-release file names.

    A release without a number (testing, sid) counts as the newest we know. Raises LabError on
    another distribution, and on a Debian before 12.
    """
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    values = {key: value.strip("\"'") for key, value in fields.items()}
    if values.get("ID") != "debian":
        name = values.get("PRETTY_NAME", "this system")
        raise LabError(f"Cannot install packages on {name}: Novella's lab runs on Debian 12 or 13.")
    release = int(values.get("VERSION_ID", "13"))
    if release < 12:
        raise LabError(f"Cannot install packages on Debian {release}: 12 is the first supported.")
    return release


def wanted(parts: Sequence[str], release: int) -> list[str]:
    """Return the packages of these parts on this release, each once, in order.

    Raises LabError that lists the parts there are when one is unknown.
    """
    names: list[str] = []
    for part in parts:
        if part not in PACKAGES:
            raise LabError(
                f"There is no list of packages {part!r}; there are: {', '.join(PACKAGES)}."
            )
        names += PACKAGES[part]
        if release >= 13:
            names += SINCE_13.get(part, ())
    return list(dict.fromkeys(names))


def missing(names: Sequence[str]) -> list[str]:
    """Return those of the packages that are not installed on this machine."""
    # dpkg-query fails when it does not know one of the names; what it prints is right all the same.
    printed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    installed = {line.split()[0] for line in printed.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def install(parts: Sequence[str]) -> list[str]:
    """Install what is missing of these parts' packages and return it; empty when all is present.

    Nothing installed is started on this machine. Raises LabError with the end of apt's output.
    """
    release = debian_release(OS_RELEASE.read_text(encoding="utf-8"))
    absent = missing(wanted(parts, release))
    if not absent:
        print(f"lab: all Debian packages for {', '.join(parts)} are present", flush=True)
        return []
    require_root("install Debian packages")
    with step("bring the package lists up to date"):
        run_command(["apt-get", "-q", "update"], env=APT_ENV)
    with step(f"install {len(absent)} Debian packages ({' '.join(absent)})"), no_daemons_started():
        run_command(
            ["apt-get", "-q", "-y", "--no-install-recommends", "install", *absent],
            env=APT_ENV,
        )
    return absent


@contextmanager
def no_daemons_started(policy: Path = POLICY) -> Iterator[None]:
    """Keep packages that are installed meanwhile from starting their daemons.

    A policy that the machine has already stays as it is. Ours is removed at the end, whatever
    happens; one that a killed run left behind is known by its text and removed as well.
    """
    if policy.exists() and policy.read_text(encoding="utf-8", errors="replace") != POLICY_TEXT:
        yield
        return
    policy.write_text(POLICY_TEXT, encoding="utf-8")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
