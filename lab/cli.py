"""The lab's commands, for `python -m lab` and for `novella lab`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lab import hosts, packages
from lab.access import inventory_path
from lab.command import CLEAN_ENV
from lab.errors import LabError
from lab.guest_image import ensure_image

DEFAULT_LAB_DIR = Path("var/lab")
DEFAULT_IMAGE = Path("var/cache/tiny.qcow2")
DEFAULT_HOSTS = ("h1", "h2")

if TYPE_CHECKING:
    # argparse gives the class of its sub-commands no public name.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_commands(subparsers: "Subparsers") -> None:
    """Add up, down, status, exec, kill-host and start-host.

    Each sets `run`: a function from the parsed arguments to an exit status.
    """
    _add_up(subparsers)
    _add_down(subparsers)
    _add_status(subparsers)
    _add_exec(subparsers)
    _add_power(subparsers)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of the lab and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    add_commands(subparsers)
    _add_image(subparsers)
    _add_packages(subparsers)
    args = parser.parse_args(argv)
    try:
        status: int = args.run(args)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return status


def _command(subparsers: "Subparsers", name: str, text: str) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(name, help=text, description=text)
    parser.add_argument(
        "--lab-dir",
        type=Path,
        default=DEFAULT_LAB_DIR,
        help="folder of the lab: record, keys, inventory, disks (default: %(default)s)",
    )
    return parser


def _add_up(subparsers: "Subparsers") -> None:
    parser = _command(subparsers, "up", "Start hosts; those that run already are left alone.")
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="hosts to start (default: h1 h2)")
    parser.add_argument("--name", help="name of the lab, to tell it from others (default: demo)")
    parser.add_argument(
        "--disk-limit-mb",
        type=int,
        metavar="MB",
        help="bound /var/lib/novella of the hosts named here; fixed when a host is first made",
    )
    parser.set_defaults(run=_up)


def _add_down(subparsers: "Subparsers") -> None:
    parser = _command(
        subparsers, "down", "Remove every process, namespace, interface and mount of the lab."
    )
    parser.add_argument("--name", help="name of the lab, should its record be gone")
    parser.add_argument("--purge", action="store_true", help="remove its files and disks too")
    parser.set_defaults(run=_down)


def _add_status(subparsers: "Subparsers") -> None:
    parser = _command(subparsers, "status", "Show each host: state, address, pid 1.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_status)


def _add_exec(subparsers: "Subparsers") -> None:
    parser = _command(subparsers, "exec", "Run a command as root inside a host, or a shell.")
    parser.add_argument("host", metavar="HOST", help="the host")
    parser.add_argument(
        "argv", nargs=argparse.REMAINDER, metavar="COMMAND", help="command (default: bash)"
    )
    parser.set_defaults(run=_exec)


def _add_power(subparsers: "Subparsers") -> None:
    parser = _command(subparsers, "kill-host", "Cut a host's power: processes end, disks stay.")
    parser.add_argument("host", metavar="HOST", help="the host")
    parser.set_defaults(run=_kill_host)
    parser = _command(subparsers, "start-host", "Switch a host on again, with the disks it had.")
    parser.add_argument("host", metavar="HOST", help="the host")
    parser.set_defaults(run=_start_host)


def _add_image(subparsers: "Subparsers") -> None:
    text = "Build the tiny guest image, unless it is there and up to date."
    parser = subparsers.add_parser("image", help=text, description=text)
    parser.add_argument(
        "--output",
        type=Path,
        default=DEFAULT_IMAGE,
        help="the qcow2 to write; the kernel package is kept beside it (default: %(default)s)",
    )
    parser.set_defaults(run=_image)


def _add_packages(subparsers: "Subparsers") -> None:
    text = "Install the Debian packages that are missing; starts none of their daemons."
    parser = subparsers.add_parser("packages", help=text, description=text)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"what they are for: {', '.join(packages.PACKAGES)} (default: all of them)",
    )
    parser.set_defaults(run=_packages)


def _up(args: argparse.Namespace) -> int:
    names = args.hosts or DEFAULT_HOSTS
    limits = dict.fromkeys(names, args.disk_limit_mb) if args.disk_limit_mb else None
    hosts.up(args.lab_dir, names, name=args.name, disk_limit_mb=limits)
    print(f"lab: inventory at {inventory_path(args.lab_dir)}")
    return 0


def _down(args: argparse.Namespace) -> int:
    hosts.down(args.lab_dir, name=args.name, purge=args.purge)
    return 0


def _status(args: argparse.Namespace) -> int:
    found = hosts.status(args.lab_dir)
    if args.json:
        print(json.dumps([{**asdict(host), "state": host.state} for host in found], indent=2))
        return 0
    if not found:
        print(f"There is no lab in {args.lab_dir}.")
    for host in found:
        print(f"{host.name:<14}{host.state:<10}{host.mgmt_ip:<16}pid {host.pid or '-'}")
    return 0


def _exec(args: argparse.Namespace) -> int:
    argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    words = hosts.enter_argv(args.lab_dir, args.host, argv or ["bash"])
    sys.stdout.flush()
    # The command takes this process over: its terminal, signals and exit status are the user's.
    os.execvpe(  # noqa: S606 - a list of words, no shell
        words[0], words, {**CLEAN_ENV, "TERM": os.environ.get("TERM", "dumb")}
    )


def _kill_host(args: argparse.Namespace) -> int:
    hosts.kill(args.lab_dir, args.host)
    return 0


def _start_host(args: argparse.Namespace) -> int:
    hosts.start(args.lab_dir, args.host)
    return 0


def _image(args: argparse.Namespace) -> int:
    ensure_image(args.output)
    return 0


def _packages(args: argparse.Namespace) -> int:
    packages.install(args.parts or list(packages.PACKAGES))
    return 0
