"""Run the roles' molecule scenarios on the hosts of a lab, made for them and taken down after.

.venv/bin/python -m tools.run_molecule            # all
.venv/bin/python -m tools.run_molecule server     # one
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import hosts
from lab.access import inventory_path
from lab.guest_image import ensure_image
from lab.naming import lab_name_of
from lab.record import load_existing

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
LAB_DIR = ROOT / "var" / "molecule"
LAB_NAME = lab_name_of("m", ROOT)
HOSTS = ("h1", "h2")


def scenarios() -> list[str]:
    """Return the names of the scenarios; hosts are enrolled by the first."""
    found = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    found.sort(key=lambda name: name != "compute_host")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the scenarios; return 0 when all passed."""
    parser = argparse.ArgumentParser(prog="python -m tools.run_molecule", description=__doc__)
    parser.add_argument("scenario", nargs="*", help="run only these", default=[])
    parser.add_argument("--keep", action="store_true", help="leave the lab up, to look at it")
    arguments = parser.parse_args(argv)
    unknown = set(arguments.scenario) - set(scenarios())
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(scenarios())}")
    image = ROOT / "var" / "cache" / "tiny.qcow2"
    ensure_image(image)
    hosts.down(LAB_DIR, name=LAB_NAME, purge=True)
    try:
        hosts.up(LAB_DIR, HOSTS, name=LAB_NAME)
        failed = [name for name in arguments.scenario or scenarios() if not _passes(name, image)]
    finally:
        if not arguments.keep:
            hosts.down(LAB_DIR, name=LAB_NAME, purge=True)
    for name in failed:
        print(f"molecule: scenario {name} failed", file=sys.stderr)
    return 1 if failed else 0


def _passes(scenario: str, image: Path) -> bool:
    print(f"molecule: scenario {scenario}", flush=True)
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ.get('PATH', '')}",
        "NOVELLA_INVENTORY": str(inventory_path(LAB_DIR)),
        "NOVELLA_IMAGE": str(image),
        "NOVELLA_NETWORK_PREFIX": load_existing(LAB_DIR).names.external_prefix,
        # What molecule keeps of a run lies below its home; a checkout has its own.
        "XDG_CACHE_HOME": str(ROOT / "var" / "cache"),
    }
    command = [str(BIN / "molecule"), "test", "--scenario-name", scenario]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
