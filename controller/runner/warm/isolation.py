"""What a fork must not share with its siblings or with the server: each in a function of its own.

Python and Ansible fix some things at import, for a process that lives for one run. A fork of a
process that has imported them starts with the server's, and is given its own here. The tests in
tests/unit/runner/warm take each away in turn.
"""

import atexit
import locale
import multiprocessing
import os
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# These decide at import, so the server's must be the run's; else the run is refused.
FIXED_PREFIXES = ("ANSIBLE_", "PYTHON", "LD_", "ORIGINAL_STDOUT_CALLBACK", "AD_HOC_COMMAND_ID")
# Of those, the ones that each run has anew.
FREE = frozenset({"ANSIBLE_HOME", "ANSIBLE_LOCAL_TEMP"})


@dataclass(frozen=True)
class Job:
    """What the client asked for. `files` are its standard input, output and error."""

    arguments: Sequence[str]
    environment: dict[str, str]
    folder: str
    umask: int
    files: Sequence[int]


def fixed(environment: dict[str, str]) -> dict[str, str]:
    """Return the part of an environment that must be the same for server and run."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(FIXED_PREFIXES) and name not in FREE
    }


def take_files(files: Sequence[int]) -> None:
    """Make the client's files the standard ones, and close all that the server had open."""
    # First out of the way: one of them may have the number that another is to get.
    spare = [os.dup2(os.dup(number), 100 + place) for place, number in enumerate(files)]
    for place, number in enumerate(spare):
        os.dup2(number, place)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def take_streams() -> None:
    """Make sys.stdin and its like anew, buffered and encoded as those of a started process."""
    encoding = locale.getencoding()
    sys.stdin = open(0, encoding=encoding, errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=encoding, errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", buffering=1, encoding=encoding, errors="backslashreplace", closefd=False
    )
    if os.isatty(1):
        sys.stdout.reconfigure(line_buffering=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def take_environment(environment: dict[str, str]) -> None:
    """Have the run's variables and no others, and what follows from them."""
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()


def take_locale() -> None:
    """Have the run's locale, and end as Ansible does where it won't do."""
    from ansible.cli import initialize_locale

    initialize_locale()


def take_signals() -> None:
    """Answer signals as a started process does."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def take_chance() -> None:
    """Draw what is random anew. Python itself sees to `random` in forks, not to these."""
    from ansible.utils import vars as ansible_vars

    # The ids of plays and tasks.
    ansible_vars.random_int = f"{secrets.randbelow(1 << 32):08x}"
    ansible_vars.cur_id = 0
    multiprocessing.current_process().authkey = os.urandom(32)


def take_paths(placeholders: dict[str, dict[str, Any]]) -> None:
    """Put the run's own paths where the server's configuration has placeholders.

    `placeholders` has, for each placeholder, the constants with it (preload.constants_with).
    """
    from ansible import constants
    from ansible.plugins import loader

    home = Path(os.environ.get("ANSIBLE_HOME", "~/.ansible")).expanduser()
    for name, new in (("ANSIBLE_HOME", str(home)), ("HOME", os.environ.get("HOME", "/"))):
        old = next(path for path in placeholders if path.endswith(f"/{name}"))
        for constant, value in placeholders[old].items():
            setattr(constants, constant, _replaced(value, old, new))
    for plugins in vars(loader).values():
        if isinstance(plugins, loader.PluginLoader) and plugins.config:
            plugins.config = _replaced(plugins.config, old, new)
            if (home / "plugins").is_dir():
                plugins._paths = None


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        return value.replace(old, new)
    return [_replaced(each, old, new) for each in value]


def take_temporary_folder(archives: Path) -> None:
    """Have a temporary folder of the run's own, removed at its end, with the built archives."""
    from ansible import constants
    from ansible.config.manager import ensure_type

    # What the server registered is the server's to remove.
    atexit._clear()
    wanted = os.environ.get("ANSIBLE_LOCAL_TEMP") or f"{constants.ANSIBLE_HOME}/tmp"  # noqa: S108
    folder = Path(ensure_type(wanted, "tmppath"))
    constants.DEFAULT_LOCAL_TMP = str(folder)
    if archives.is_dir():
        own = folder / "ansiballz_cache"
        own.mkdir(mode=0o700)
        for path in archives.iterdir():
            if not path.name.endswith(".lock"):
                _link(path, own / path.name)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        # Another file system.
        target.write_bytes(source.read_bytes())


def take_events_folder() -> None:
    """Have ansible-runner's callback write the events where this run's are looked for."""
    module = sys.modules.get("ansible.plugins.callback.awx_display")
    if module is not None and os.environ.get("AWX_ISOLATED_DATA_DIR"):
        module.event_context.cache = module.IsolatedFileWrite()


def take_display() -> None:
    """Show things on the run's own terminal or file, and as if nothing had been shown before."""
    from ansible.utils import display

    shown = display.Display()
    # Its tasks' output and its own come from several threads.
    for stream in (sys.stdout, sys.stderr):
        display._synchronize_textiowrapper(stream, shown._lock)
        stream.reconfigure(errors="_replacing_warning_handler")  # type: ignore[union-attr]
    for already in (shown._warns, shown._deprecations, shown._errors):
        already.clear()
    shown._set_column_width()
