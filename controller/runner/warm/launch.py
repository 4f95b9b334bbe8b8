"""The executor's side of the warm runner: what is started for a run, and whether it was warm."""

import hashlib
import importlib.util
import py_compile
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.runner.run_folder import private_folder
from controller.runner.warm import client
from controller.settings import Settings

# What is in the words of client and monitor, and which kind of reason that is.
KINDS = (
    ("is away", "away"),
    ("did not answer", "slow"),
    ("has changed", "stale"),
    ("differs from", "differs"),
)


def folder(settings: Settings) -> Path:
    """Return the folder of the fork server of this controller, made if need be."""
    # In the short path of runs, which several controllers may share.
    whose = hashlib.sha256(f"{settings.state_dir}\n{settings.project_dir}".encode()).hexdigest()
    runs = private_folder(settings.runs_dir)
    return private_folder(runs / f"warm-{whose[:12]}")


def address(settings: Settings) -> Path:
    """Return where the fork server listens."""
    return folder(settings) / "socket"


def environment(settings: Settings) -> dict[str, str]:
    """Return what all runs have in common in their environment: nothing of our own leaks in."""
    # Found, not imported: that takes a third of a second.
    found = importlib.util.find_spec("ansible_runner")
    callbacks = Path(str(found and found.origin)).parent / "display_callback" / "callback"
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(settings.project_dir / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(settings.project_dir / "collections"),
        # One plugin looks at the inventory, rather than six in turn.
        "ANSIBLE_INVENTORY_ENABLED": "yaml",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_CALLBACK_PLUGINS": str(callbacks),
        "ANSIBLE_STDOUT_CALLBACK": "awx_display",
        "RUNNER_OMIT_EVENTS": "False",
        "RUNNER_ONLY_FAILED_EVENTS": "False",
    }


@dataclass(frozen=True)
class Launcher:
    """How runs are started: by the client, compiled once, which asks the server at `address`."""

    address: Path
    program: Path

    @classmethod
    def make(cls, settings: Settings) -> "Launcher":
        """Compile the client: Python keeps no compiled form of a script."""
        program = folder(settings) / "client.pyc"
        # Written aside and moved: others may be starting it.
        py_compile.compile(client.__file__, cfile=str(program), doraise=True)
        return cls(address(settings), program)

    @property
    def command(self) -> Sequence[str]:
        # Isolated and without site-packages: it starts in a third of the time.
        return [sys.executable, "-I", "-S", str(self.program)]

    def variables(self, record: Path) -> dict[str, str]:
        """Return the variables by which the client finds the server, and notes how it went."""
        return {"NOVELLA_FORK_SERVER": str(self.address), "NOVELLA_LAUNCH": str(record)}


def how(record: Path) -> tuple[bool, str]:
    """Return whether a run was warm, and why not."""
    try:
        word, _, why = record.read_text(errors="replace").partition(" ")
    except OSError:
        return False, "the client did not start"
    return word == "warm", why


def kind_of(why: str) -> str:
    """Return the kind of a reason for a plain run, of which there are few: for the metrics."""
    return next((kind for text, kind in KINDS if text in why), "other")
