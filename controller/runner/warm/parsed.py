"""Parse the YAML of our playbooks and roles once, in the fork server, and not in each run.

A run still reads each file; only when its text is the one that was parsed is the parsed form taken.
And it is taken once: a run is a fork, and has a copy of its own to change, but only one.

A run's arguments are read here too, without a parser of YAML.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from controller.runner.variables import read_unsafe_yaml

# Below the project's folder, where Ansible finds the roles. What is seldom run isn't kept.
ROLES = "collections/ansible_collections/novella/cloud/roles"
KEPT_ROLES = ("compute_host", "port", "server")

# By the file's name, its text.
_parsed: dict[tuple[str, str], Any] = {}


def keep(project_dir: Path) -> None:
    """Parse them, and have Ansible's loader look here first. Call once, with Ansible imported."""
    from ansible._internal._datatag._tags import TrustedAsTemplate
    from ansible.errors import AnsibleError
    from ansible.parsing.dataloader import DataLoader

    plainly = DataLoader.load
    loader = DataLoader()
    for path in _files(project_dir):
        # One that can't be read is the trouble of the runs that need it.
        with contextlib.suppress(AnsibleError):
            text = TrustedAsTemplate().tag(loader.get_text_file_contents(str(path)))
            _parsed[str(path), str(text)] = plainly(loader, text, file_name=str(path))

    def load_once(self: Any, data: str, file_name: str | None = None, **options: Any) -> Any:
        # A run's own arguments, which are large.
        if not options.get("json_only") and (read := read_unsafe_yaml(data)) is not None:
            return read
        # As a template or not: what Ansible trusts bears a mark.
        if file_name and not options.get("json_only") and TrustedAsTemplate.is_tagged_on(data):
            kept = _parsed.pop((file_name, str(data)), None)
            if kept is not None:
                return kept
        return plainly(self, data, file_name=file_name, **options)

    DataLoader.load = load_once


def contents() -> Iterable[Any]:
    """Return what the files were parsed to, for whoever only looks at it."""
    return _parsed.values()


def _files(project_dir: Path) -> Iterator[Path]:
    yield from sorted((project_dir / "playbooks").glob("*.yml"))
    for role in KEPT_ROLES:
        yield from sorted((project_dir / ROLES / role).rglob("*.yml"))
