"""Install the collections of requirements.yml into collections/, from Galaxy or out of PyPI.

    .venv/bin/python tools/install_collections.py

Galaxy is asked first, with a short patience. Where it can't be reached, the same versions are taken
out of the `ansible` package of PyPI. Does nothing when the pinned versions are there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
COLLECTIONS = ROOT / "collections" / "ansible_collections"

# The release that carries the versions of requirements.yml; the one for ansible-core 2.19.
PYPI_RELEASE = "ansible==12.3.0"
GALAXY_TIMEOUT_S = 30
PYPI_TIMEOUT_S = 600


def wanted() -> dict[str, str]:
    """Return the pinned version of each collection, by its name."""
    content = yaml.safe_load((ROOT / "requirements.yml").read_text())
    return {entry["name"]: entry["version"] for entry in content["collections"]}


def folder(name: str) -> Path:
    namespace, _, short = name.partition(".")
    return COLLECTIONS / namespace / short


def installed_version(name: str) -> str | None:
    """Return the version of an installed collection, None when it is not there or not whole."""
    try:
        manifest = json.loads((folder(name) / "MANIFEST.json").read_text())
        return str(manifest["collection_info"]["version"])
    except (OSError, ValueError, KeyError):
        return None


def missing(pins: dict[str, str]) -> dict[str, str]:
    return {name: version for name, version in pins.items() if installed_version(name) != version}


def install_from_galaxy() -> bool:
    """Return whether Galaxy answered and its client succeeded."""
    command = [
        str(Path(sys.executable).parent / "ansible-galaxy"),
        *("collection", "install", "--no-deps", "--force", "--timeout", "10"),
        *("-r", str(ROOT / "requirements.yml"), "-p", str(COLLECTIONS.parent)),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=GALAXY_TIMEOUT_S, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def install_from_pypi(names: list[str]) -> None:
    """Take the collections' folders out of the wheel. Raises CalledProcessError without PyPI."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--disable-pip-version-check", "--dest", scratch, PYPI_RELEASE),
            ],
            check=True,
            timeout=PYPI_TIMEOUT_S,
        )
        [wheel] = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in names:
                _take_folder(archive, name)


def _take_folder(archive: zipfile.ZipFile, name: str) -> None:
    prefix = f"ansible_collections/{name.replace('.', '/')}/"
    members = [member for member in archive.namelist() if member.startswith(prefix)]
    # Whole or not at all: a folder without its manifest is installed anew by the next run.
    shutil.rmtree(folder(name), ignore_errors=True)
    members.sort(key=lambda member: member.endswith("MANIFEST.json"))
    archive.extractall(COLLECTIONS.parent, members)


def main() -> int:
    pins = wanted()
    if not missing(pins):
        print("Collections are there: " + ", ".join(f"{n} {v}" for n, v in pins.items()))
        return 0
    if not install_from_galaxy():
        print(f"Galaxy can't be reached; taking the collections out of PyPI's {PYPI_RELEASE}.")
        install_from_pypi(list(missing(pins)))
    left = missing(pins)
    if left:
        print(
            f"These are still not there: {left}. Look at requirements.yml and PYPI_RELEASE.",
            file=sys.stderr,
        )
        return 1
    print("Installed " + ", ".join(f"{name} {version}" for name, version in pins.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
