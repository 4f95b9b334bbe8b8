"""What holds for every operation."""

import pytest

from controller.conductor.flows import FLOWS
from controller.conductor.steps import Flow, Step
from controller.states import BY_OPERATION


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_a_step_has_an_undo_or_says_why_not(flow: Flow) -> None:
    for step in flow.steps:
        assert step.name
        assert (type(step).undo is not Step.undo) != bool(step.no_undo), step.name


def test_every_operation_of_the_state_table_has_a_flow() -> None:
    assert set(BY_OPERATION) <= set(FLOWS)
