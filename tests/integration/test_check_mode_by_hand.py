"""What plays by hand say in check mode that they would do, and that they do nothing."""

import re
from collections.abc import Collection
from pathlib import Path

import pytest
import yaml

from tests.fixtures.by_hand import (
    DIRECTORY,
    EACH_WAY,
    MAC,
    OTHER_SERVER,
    SERVER,
    TAP,
    ByHand,
    changed,
    example_servers,
)
from tests.fixtures.hand_lab import Lab

pytestmark = pytest.mark.lab

# A play, and what it must say that it would do to a server that runs; empty if nothing.
CHECKED = {
    "server_create": "",
    "server_start": "",
    "server_attach_interface": "",
    "server_converge": "",
    "server_detach_interface": "",
    "port_update": "",
    "host_enroll": "",
    "host_adopt": "",
    "host_domains": "",
    "host_info": "",
    "server_stop": "-state: running",
    "server_reboot": "+state: running, started again",
    "server_hard_reboot": "-state: running",
    "server_rebuild": f"content of {DIRECTORY}/disk",
    "server_rescue": f"disk {DIRECTORY}/disk.rescue",
    "server_unrescue": "",
    "server_create_image": "+a copy of the disk",
    "server_create_backup": "+a copy of the disk",
    "server_shelve": "+a copy of the disk",
    "server_shelve_offload": f"-{DIRECTORY}/disk",
    "server_unshelve": "",
    "server_evacuate": "",
    "server_live_resize": "",
    "server_create_snapshot": "+novella-",
    "server_delete_snapshot": "",
    "image_verify": "",
    "server_pause": "+state: paused",
    "server_unpause": "",
    "server_suspend": "+state: stopped, memory saved",
    "server_resume": "",
    "server_soft_delete": "-state: running",
    "server_restore": "",
    "server_update_metadata": "",
    "server_trigger_crash_dump": "+interrupted",
    "server_receive": "+/etc/pki/libvirt-migrate: CN=h1",
    # With a destination: what was there is removed then.
    "server_live_migrate": f"-{DIRECTORY}/disk",
    "server_move_out": f"+{DIRECTORY}_resize",
    "server_resize": "",
    "server_revert_resize": "",
    "server_confirm_resize": "",
    "server_delete": f"-{DIRECTORY}/disk",
}
# The others are checked by `make test-full`.
CHECKED_OFTEN = {
    "host_enroll", "port_update", "server_create", "server_delete", "server_hard_reboot",
    "server_move_out",
}  # fmt: skip


@EACH_WAY
def test_check_and_diff_show_everything_and_make_nothing(
    by_hand: ByHand, way: tuple[str, ...]
) -> None:
    before = by_hand.traces()
    shown = by_hand.play("server_create", "--check", "--diff", *way)
    assert f"disk {DIRECTORY}/disk" in shown
    assert "+format: qcow2" in shown
    assert "bridge nvb6a1f8f2e0c8" in shown
    assert f"+    <uuid>{SERVER}</uuid>".replace("    ", "  ") in shown
    assert f'+      <mac address="{MAC}" />' in shown
    assert re.search(rf"\+.*iptables.*{TAP[3:]}", shown), shown
    assert by_hand.traces() == before


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param(CHECKED_OFTEN, id="those that make, repair and remove"),
        pytest.param(CHECKED.keys() - CHECKED_OFTEN, id="all others", marks=pytest.mark.slow),
    ],
)
def test_no_play_changes_anything_in_check_mode(
    operations: Collection[str], by_hand: ByHand, tmp_path: Path
) -> None:
    """Of a server that runs; test_fresh_host.py has the plays on a host that has nothing."""
    example = example_servers({})
    example["servers"][0]["image"] = {"id": OTHER_SERVER, "format": "raw", "path": "{{ empty }}"}
    file, empty = tmp_path / "servers.yml", tmp_path / "empty.raw"
    file.write_text(yaml.safe_dump(example))
    empty.write_bytes(bytes(1024**2))
    given = ("-e", f"empty={empty}", "-e", "server_destination=h2")
    try:
        assert by_hand.try_play("server_create", *given, file=file).returncode == 0
        before = by_hand.everything()
        for operation in sorted(operations):
            done = by_hand.try_play(operation, "--check", "--diff", *given, file=file)
            assert done.returncode == 0, done.stdout + done.stderr
            says = CHECKED[operation]
            assert (changed(done.stdout) > 0) == bool(says), done.stdout
            assert not says or says in done.stdout
            assert by_hand.everything() == before, operation
    finally:
        by_hand.try_play("server_delete", *given, file=file)


def test_check_mode_works_on_an_enrolled_host(lab: Lab) -> None:
    done = lab.playbook("host_enroll", "--check", "--diff")
    assert done.returncode == 0, done.stdout
