"""Run `ansible-test sanity` on the collection, in a copy laid out as ansible-test wants it.

    .venv/bin/python -m tools.run_sanity                          # all
    .venv/bin/python -m tools.run_sanity --test validate-modules  # further words are ansible-test's

ansible-test installs the tools of each test, pinned, from the package index; they are kept below
var/cache.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLLECTIONS = ROOT / "collections" / "ansible_collections"
HOME = ROOT / "var" / "cache" / "sanity"
# What the collection is made of.
PARTS = ("README.md", "galaxy.yml", "meta", "playbooks", "plugins", "roles", "templates")
SKIPPED = {
    # Ruff reads the same code. pylint wants it to run on Python 3.8, which no host of ours has, and
    # keeps the name `_` for translations, which only ansible-core has.
    "pylint",
}
# ansible-test would download get-pip.py from a site of its own, and runs this file instead if it is
# there. Python's own pip does as well, and needs no network.
GET_PIP = Path(".ansible", "test", "cache", "get_pip_24_2.py")
ENSURE_PIP = "import ensurepip\n\nensurepip.bootstrap()\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tests; return 0 when all passed."""
    words = list(sys.argv[1:] if argv is None else argv)
    get_pip = HOME / GET_PIP
    get_pip.parent.mkdir(parents=True, exist_ok=True)
    get_pip.write_text(ENSURE_PIP)
    with tempfile.TemporaryDirectory(prefix="novella-sanity-") as folder:
        collection = lay_out(Path(folder))
        return subprocess.run(
            [*command(), *words], cwd=collection, env={**os.environ, "HOME": str(HOME)}, check=False
        ).returncode


def command() -> list[str]:
    """Return ansible-test's command line, for the Python that runs this."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    skips = [word for name in sorted(SKIPPED) for word in ("--skip-test", name)]
    program = str(Path(sys.executable).with_name("ansible-test"))
    return [program, "sanity", "--local", "--python", version, "--truncate", "0", *skips]


def lay_out(folder: Path) -> Path:
    """Copy the collection, and those that it needs, below `folder`; return the collection's copy.

    ansible-test refuses a collection that lies elsewhere, and follows no links out of it.
    """
    top = folder / "ansible_collections"
    collection = top / "novella" / "cloud"
    collection.mkdir(parents=True)
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, collection / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, collection / name)
    shutil.copytree(ROOT / "tests" / "sanity", collection / "tests" / "sanity")
    for path in COLLECTIONS.iterdir():
        if path.is_dir() and path.name != "novella":
            shutil.copytree(path, top / path.name, ignore=unwanted)
    return collection


if __name__ == "__main__":
    sys.exit(main())
