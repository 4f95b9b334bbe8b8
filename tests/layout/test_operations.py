"""One operation, one name: table row, playbook, role entry point, argument spec, molecule case."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.states import BUILDING, LIVING, TABLE
from tests.fixtures import state_actions
from tests.integration import test_check_mode_by_hand as by_hand
from tests.integration import test_playbooks_twice as twice_by_hand

ROOT = Path(__file__).resolve().parents[2]
# Operations of the conductor's own, beside those of the state table.
OWN = {
    "port_update", "network_update", "host_adopt", "host_enroll", "host_tidy", "image_prefetch",
    "image_verify",
}  # fmt: skip
ROLE_OF_NOUN = {
    "server": "server", "port": "port", "network": "network", "host": "compute_host",
    "image": "image",
}  # fmt: skip
THERE = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
PLAYBOOKS = sorted({name for row in TABLE.values() for name in row.playbooks} | OWN)


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def _role_and_entry(operation: str) -> tuple[str, str]:
    noun, _, verb = operation.partition("_")
    return ROLE_OF_NOUN[noun], verb


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_a_row_runs_the_playbook_of_its_operation(row: Any) -> None:
    """A row without an operation is done in the database alone, and runs none."""
    if row.operation is None:
        assert row.playbooks == ()
    else:
        assert row.operation in row.playbooks


@pytest.mark.parametrize("operation", PLAYBOOKS)
def test_an_operation_has_its_playbook(operation: str) -> None:
    plays = _load(ROOT / "playbooks" / f"{operation}.yml")
    role, entry = _role_and_entry(operation)
    text = (ROOT / "playbooks" / f"{operation}.yml").read_text()
    assert plays[0]["gather_facts"] is False
    assert f"tasks_from: {entry}" in text or f"tasks_from: {entry}.yml" in text
    assert f"name: novella.cloud.{role}" in text or f"name: {role}" in text


@pytest.mark.parametrize("operation", PLAYBOOKS)
def test_an_operation_has_its_entry_point_and_argument_spec(operation: str) -> None:
    role, entry = _role_and_entry(operation)
    assert (ROOT / "roles" / role / "tasks" / f"{entry}.yml").exists()
    specs = _load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    assert specs[entry]["options"], f"{role}: {entry} takes no arguments"


def test_every_entry_point_of_the_server_role_belongs_to_a_row() -> None:
    specs = _load(ROOT / "roles/server/meta/argument_specs.yml")["argument_specs"]
    assert {f"server_{entry}" for entry in specs} == {
        name for row in TABLE.values() for name in row.playbooks
    }


# The controller and its hosts from nothing: tests/integration/test_site.py alone.
@pytest.mark.parametrize("playbook", sorted(THERE - {"site"}))
def test_a_playbook_has_a_molecule_case(playbook: str) -> None:
    cases = {
        path
        for path in (ROOT / "molecule").glob("*/*.yml")
        if f"playbooks/{playbook}.yml" in path.read_text()
        or f"novella.cloud.{playbook}" in path.read_text()
    }
    assert cases, f"no molecule scenario runs {playbook}"


def test_each_playbook_is_run_by_hand_twice_and_in_check_mode_before() -> None:
    """But for a whole site, of which tests/integration/test_site.py does the same."""
    twice = {turn.playbook for turns in twice_by_hand.TURNS.values() for turn in turns}
    assert twice | twice_by_hand.WITH_A_GUEST | twice_by_hand.ALWAYS_ANEW == THERE - {"site"}
    assert twice | by_hand.CHECKED.keys() == THERE - {"site"}


def test_every_playbook_belongs_to_an_operation_or_is_composed_of_them() -> None:
    composed = {"site", "host_info", "host_audit", "host_domains", "server_hooks"}
    assert THERE - composed == set(PLAYBOOKS)


def test_every_row_is_tried_on_a_real_guest_in_every_state() -> None:
    """Which takes long, and is done by `make test-full`: tests/integration/test_every_action.py."""
    assert state_actions.NOT_ASKED | set(state_actions.ASK) == set(TABLE)
    assert set(state_actions.WAYS) == LIVING - {BUILDING}
