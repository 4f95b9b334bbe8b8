"""Try the set-up where nothing is installed: `make demo` in a fresh Debian made by mmdebstrap.

    python3 -m tools.try_bare_root bookworm [--command 'make demo'] [--keep]

The root is a folder, entered by chroot with mount and pid namespaces of its own, so that whatever
the command starts ends with it. It shares the machine's network, for the package registries. What
is tried is the committed state of this checkout. Prints how long the command took: the cold time.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What a person installs first on a bare machine to get the clone, and no more.
INCLUDE = "ca-certificates,git,make"
CLONE = "/srv/novella"
# Runs inside the new namespaces, as pid 1 of them, before the chroot.
ENTER = """
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/run"
mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
cp /etc/resolv.conf "$1/etc/resolv.conf"
cd "$1"
exec chroot "$1" /bin/sh -c "cd $2 && $3"
"""
# What the registries need here; everything else starts from nothing.
PASSED = ("PIP_CERT", "SSL_CERT_FILE", "http_proxy", "https_proxy", "no_proxy")


def main(argv: Sequence[str] | None = None) -> int:
    """Make the root, run the command in it, and return the command's status."""
    parser = argparse.ArgumentParser(prog="python -m tools.try_bare_root", description=__doc__)
    parser.add_argument("suite", choices=("bookworm", "trixie"))
    parser.add_argument("--command", default="make demo && make clean-demo")
    parser.add_argument("--keep", action="store_true", help="leave the root, and say where it is")
    arguments = parser.parse_args(argv)
    directory = Path(tempfile.mkdtemp(prefix=f"novella-{arguments.suite}-", dir="/var/tmp"))
    root = directory / "root"
    try:
        _make_root(root, arguments.suite)
        began = time.monotonic()
        status = _run(root, arguments.command)
        print(f"`{arguments.command}` on a bare {arguments.suite}: status {status} "
              f"after {time.monotonic() - began:.0f} s")  # fmt: skip
        return status
    finally:
        if arguments.keep:
            print(f"kept: {root}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _make_root(root: Path, suite: str) -> None:
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={INCLUDE}", suite, str(root)],
        check=True,
    )
    # The machine's certificates: the way to the registries may have one of its own.
    bundle = Path("etc/ssl/certs/ca-certificates.crt")
    shutil.copyfile(Path("/") / bundle, root / bundle)
    subprocess.run(["git", "clone", "-q", str(ROOT), f"{root}{CLONE}"], check=True)


def _run(root: Path, command: str) -> int:
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        **{name: os.environ[name] for name in PASSED if name in os.environ},
    }
    return subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
         "sh", "-c", ENTER, "enter", str(root), CLONE, command],
        env=environment, check=False,
    ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
