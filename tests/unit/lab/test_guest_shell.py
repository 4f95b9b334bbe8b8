"""The tiny guest's scripts are shell that its shell can read."""

import subprocess

import pytest

from lab.guest_root import ROOT_FILES, TEMPLATES

SCRIPTS = ["initramfs-init", *(name for name, (_, mode) in ROOT_FILES.items() if mode == 0o755)]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_parses(name: str) -> None:
    subprocess.run(["busybox", "sh", "-n", str(TEMPLATES / name)], check=True)


def test_every_template_is_used() -> None:
    used = {*ROOT_FILES, "initramfs-init", "syslinux.cfg"}
    assert {path.name for path in TEMPLATES.iterdir()} == used
