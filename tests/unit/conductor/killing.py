"""Kill a worker at each step of an operation, and let another one finish; for generated tests."""

from controller.conductor import claims, runs
from controller.conductor.flows import FLOWS
from controller.conductor.moves import Ended
from controller.conductor.runs import Ticket
from controller.db.models import Operation
from tests.unit.conductor.conftest import Cloud

# Where a step's worker is killed: before its play, or behind it with what the play said.
MOMENTS = ("before its play", "before its result is taken in")


def moments_of(kind: str) -> list[tuple[str, int, str]]:
    """Return (kind, number of the step, moment) for each step of the flow."""
    return [(kind, step, moment) for step in range(len(FLOWS[kind].steps)) for moment in MOMENTS]


def name_of(case: tuple[str, int, str]) -> str:
    kind, number, moment = case
    return f"{FLOWS[kind].steps[number].name}, {moment}"


def kill_at(cloud: Cloud, number: int, moment: str) -> bool:
    """Work on the one queued operation until its step `number`, and die at `moment`.

    Returns whether it came so far. Its lease is over then, and the operation queued again.
    """
    engine = cloud.engine("elsewhere/worker/1")
    (held,) = engine._claim()
    ticket = engine._mover.move(cloud.db, held)
    while ticket is not None:
        reached = _step_of(cloud, held.operation_id) >= number
        if reached and moment == MOMENTS[0]:
            break
        ended = play(cloud, engine.owner, ticket)
        if reached:
            break
        ticket = engine._mover.move(cloud.db, held, ended)
    with cloud.db.write() as session:
        given_back = claims.give_back(session, claims.held_by(engine.owner, held))
    engine._drop(held)
    return bool(given_back)


def play(cloud: Cloud, owner: str, ticket: Ticket) -> Ended:
    """Run what the ticket asks for, and return how it ended."""
    prepared = cloud.db.run(
        lambda session: runs.prepare(
            session, cloud.settings, owner, [ticket], lambda: False, cloud.clock()
        )
    )
    assert prepared.run is not None
    ((_, outcome),) = runs.outcomes(prepared, cloud.executor.run(prepared.run))
    return Ended(outcome, ticket.undo)


def _step_of(cloud: Cloud, operation_id: str) -> int:
    with cloud.db.read() as session:
        return session.get_one(Operation, operation_id).step
