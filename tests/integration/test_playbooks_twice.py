"""Playbooks by hand: in check mode, for real, and once more, which changes nothing.

A table of what a server, its host and its moves go through, each playbook from the state that the
one before left. The guest has nothing to boot, so that a turn takes seconds; what guests make of
the plays is other tests' business.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.fixtures.by_hand import (
    DIRECTORY,
    IMAGE_BASE,
    OTHER_SERVER,
    SERVER,
    ByHand,
    changed,
    example_servers,
)
from tests.fixtures.hand_lab import HOSTS, ROOT, Lab
from tests.integration.test_check_mode_by_hand import CHECKED

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@dataclass(frozen=True)
class Turn:
    """A playbook's turn. `again` says why a second run changes something all the same; `given` are
    more arguments of it alone; `quiet` says that the first one has nothing to do either; `says`
    must stand in what check mode shows.
    """

    playbook: str
    again: str = ""
    given: tuple[str, ...] = ()
    quiet: bool = False
    says: str = ""


ANEW = "what it does is done anew each time it is asked for"
IMAGE = {"id": OTHER_SERVER, "format": "raw", "path": "{{ empty }}"}
OTHER_IMAGE = {**IMAGE, "id": "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a12"}
ROLE = str(ROOT / "molecule/server/hooks/ticket")
PASSWORD = {"server_secrets": {SERVER: {"admin_pass": "never-set"}}}
HOOKS = {"server_hooks": [ROLE], "server_operation": "server_pause", "server_hooks_at": "before"}
THERE_AND_BACK = [
    ("-e", f"server_source={source}", "-e", f"server_destination={destination}", "-l", "h1:h2")
    for source, destination in (("h1", "h2"), ("h2", "h1"))
]
NETWORK = {
    "id": "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a13",
    "mtu": 1450,
    "network_type": "vxlan",
    "segmentation_id": 4711,
    "peers": ["192.0.2.9"],
    "members": [{"mac_address": "fa:16:3e:00:00:09", "tunnel_ip": "192.0.2.9"}],
}
TURNS = {
    "disks": (
        Turn("server_create_snapshot"),
        Turn("server_stop"),
        Turn("server_revert_snapshot", again=ANEW, says=f"snapshots of {DIRECTORY}/disk"),
        Turn("server_delete_snapshot"),
        Turn("server_start"),
        Turn("server_live_resize", quiet=True),
        Turn("server_create_image"),
        Turn("server_create_backup", quiet=True),
        Turn("server_rescue"),
        Turn("server_unrescue"),
        Turn("server_rebuild"),
        Turn("server_shelve"),
        Turn("server_shelve_offload"),
        Turn("server_unshelve"),
        Turn("server_evacuate", quiet=True),
    ),
    "moves": (
        Turn("server_receive"),
        Turn("server_live_migrate", given=THERE_AND_BACK[0], says="+host: h2"),
        Turn("server_live_migrate", given=THERE_AND_BACK[1], says="+host: h1"),
        Turn("server_converge", quiet=True),
    ),
    "host": (
        Turn("server_hooks", given=("-e", json.dumps(HOOKS))),
        Turn(
            "image_prefetch",
            given=("-e", json.dumps({"images": [OTHER_IMAGE]})),
            says=f"base {IMAGE_BASE}/",
        ),
        Turn("image_verify", quiet=True),
        Turn("host_tidy", given=("-e", "compute_image_cache_age_s=0")),
        Turn("host_info", quiet=True),
        Turn("host_audit", quiet=True),
        Turn("host_domains", quiet=True),
        Turn("host_adopt", quiet=True),
        Turn(
            "network_update",
            given=("-e", json.dumps({"networks": [NETWORK]})),
            says="+to fa:16:3e:00:00:09 by 192.0.2.9",
        ),
        Turn("network_update", says="-device nvx5f2cbb634f7"),
        Turn("server_attach_interface", quiet=True),
        Turn("server_detach_interface", quiet=True),
        Turn("server_update_metadata", quiet=True),
        Turn("server_change_password", given=("-e", json.dumps(PASSWORD)), says="+set anew"),
    ),
}
# Those whose second run test_playbooks_by_hand.py has, with a guest that boots.
WITH_A_GUEST = {
    "host_enroll", "port_update", "server_create", "server_delete", "server_start", "server_stop",
    "server_pause", "server_unpause", "server_suspend", "server_resume", "server_soft_delete",
    "server_restore", "server_move_out", "server_revert_resize", "server_resize",
    "server_confirm_resize",
}  # fmt: skip
# What is asked for is done each time: there is no second run that changes nothing.
ALWAYS_ANEW = {
    "server_reboot", "server_hard_reboot", "server_trigger_crash_dump", "server_change_password",
}  # fmt: skip
# A guest's agent has to answer: molecule has one that does.
ONLY_CHECKED = {"server_change_password"}
# What check mode says of the others stands in CHECKED, of a server that runs.
CHECKED_HERE = {"server_revert_snapshot", "server_live_migrate"}


@pytest.fixture
def by_hand(lab: Lab) -> ByHand:
    return ByHand(lab)


@pytest.fixture
def server(by_hand: ByHand, tmp_path: Path) -> Iterator[Path]:
    """A server that runs and has nothing to boot; its arguments."""
    example, empty = example_servers({}), tmp_path / "empty.raw"
    example["servers"][0]["image"] = IMAGE
    example |= {
        "empty": str(empty),
        "server_shutdown_timeout_s": 0,
        "server_move_authority": str(tmp_path / "moves"),
    }
    file = tmp_path / "server.yml"
    file.write_text(yaml.safe_dump(example))
    empty.write_bytes(bytes(1024**2))
    try:
        assert by_hand.try_play("server_create", file=file).returncode == 0
        yield file
    finally:
        for host in HOSTS:
            by_hand.try_play("server_delete", "-l", host, file=file)
        by_hand.on_host("rm", "-f", "/var/tmp/novella-tickets")


@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
def test_a_second_run_changes_nothing_and_check_mode_tells_the_first(
    turns: tuple[Turn, ...], by_hand: ByHand, server: Path
) -> None:
    def run(turn: Turn, *more: str) -> str:
        done = by_hand.try_play(turn.playbook, *turn.given, *more, file=server)
        assert done.returncode == 0, f"{turn.playbook}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    for number, turn in enumerate(turns):
        named = f"{number}: {turn.playbook}"
        if turn.playbook in CHECKED_HERE or turn.playbook not in CHECKED:
            before = [by_hand.everything(host) for host in HOSTS]
            would = run(turn, "--check", "--diff")
            assert [by_hand.everything(host) for host in HOSTS] == before, named
            assert (changed(would) > 0) is not turn.quiet, f"{named}: {would}"
            assert turn.says in would, would
        if turn.playbook in ONLY_CHECKED:
            continue
        did = run(turn)
        assert (changed(did) > 0) is not turn.quiet, f"{named}: {did}"
        again = run(turn)
        assert (changed(again) > 0) is bool(turn.again), f"{named}: {again}"
