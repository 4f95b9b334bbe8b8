"""Each operation has its case in the proof on real guests, tests/integration/test_every_kill.py."""

from controller.conductor.flows import FLOWS
from controller.states import BY_OPERATION
from tests.fixtures.begun_operations import OF_STEPS, SCENARIOS
from tests.fixtures.killing_workers import WITHOUT_PLAY, cases


def test_each_operation_of_a_server_is_begun_by_a_scenario() -> None:
    assert set(SCENARIOS) == set(BY_OPERATION)
    assert {case.kind for case in cases()} == set(SCENARIOS)


def test_what_is_said_of_steps_is_said_of_those_that_there_are() -> None:
    steps = {(kind, step.name) for kind, flow in FLOWS.items() for step in flow.steps}
    assert OF_STEPS.keys() <= steps
    named = {name for _, name in steps} | {f"{kind}/{name}" for kind, name in steps}
    assert named >= WITHOUT_PLAY
