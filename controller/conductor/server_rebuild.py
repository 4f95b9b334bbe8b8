"""server_rebuild: new disks of an image, on the same host, with the same ports.

The host makes the new disk before it cuts the server off and puts it in the old one's place, so
that an image which can't be had, or does not fit, costs nothing but the state: it is ERROR then, as
in OpenStack Nova, with its disk as it was. From the exchange on the old data is gone.
"""

from dataclasses import replace

from controller.conductor import backoff
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import ports, server_rebuild, transitions
from controller.errors import HostFailed
from controller.states import STOPPED, TABLE

ROW = TABLE["rebuild"]
ATTEMPTS = 3
# The module of the step that puts the new disk in the old one's place.
EXCHANGE = "disk_renewal"

KEPT, GONE, UNKNOWN = "kept", "gone", "unknown"
# What the tenant is told of the disk that the server had.
SAYS = {
    KEPT: "Its disk is as it was: hard reboot the server, or rebuild it of another image.",
    GONE: "What was on its disk is gone. Rebuild it once more, or delete it.",
    UNKNOWN: (
        "Its host has not said whether what was on its disk is gone. Rebuild it once more, or "
        "delete it."
    ),
}


class Renew(Step):
    name = "rebuild"
    no_undo = (
        "a disk that was replaced can't be brought back; what made nothing has nothing to undo"
    )

    def do(self, work: Work) -> Play | None:
        work.operation.host_id = work.server.host_id
        if work.server.host_id is None:
            raise HostFailed(
                "The server has no host. Delete it and create it again.",
                reason="the server has no host",
                found={"old_data": KEPT},
            )
        transitions.progress(work.server, ROW, "rebuild_spawning")
        preserve = bool(work.operation.arguments["preserve_ephemeral"])
        entry = {"rebuild": {"id": work.operation.id, "preserve_ephemeral": preserve}}
        return Play("server_rebuild", work.server.host_id, entry=entry)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(
            "The server could not be rebuilt: its host failed to.", old_data=_old_data(outcome)
        )
        work.server.launched_at = work.now
        ports.set_status(work.session, work.server.id, "ACTIVE")


class StopAgain(Step):
    """A server that was off is off again, when its guest has seen the new disk."""

    name = "stop"
    no_undo = "the play describes a state of the server; running the next one is the way back"

    def do(self, work: Work) -> Play | None:
        if work.operation.arguments["was"] != STOPPED:
            return None
        transitions.progress(work.server, ROW, "powering-off")
        return Play("server_stop", work.host_id)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The server was rebuilt, and could not be stopped again: its host failed to.")
        ports.set_status(work.session, work.server.id, "DOWN")


class ServerRebuild(Flow):
    kind = "server_rebuild"
    steps = (Renew(), StopAgain())
    cancellable = True

    def succeeded(self, work: Work) -> None:
        was_off = work.operation.arguments["was"] == STOPPED
        row = replace(ROW, after_success=STOPPED) if was_off else ROW
        transitions.succeed(work.server, row, work.now)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if failure.cancelled:
            transitions.give_way(work.server, ROW)
            return None
        if failure.unreachable and work.operation.attempts + 1 < ATTEMPTS:
            return Again(backoff.delay_s(1.0, work.operation.attempts + 1))
        old_data = failure.found.get("old_data")
        if old_data == KEPT:
            server_rebuild.restore_image(work.server, work.operation.arguments)
        message = f"{failure.message} {SAYS[old_data]}" if old_data in SAYS else failure.message
        transitions.fail(work.server, ROW, work.now, message, failure.details)
        return None


def _old_data(outcome: Outcome) -> str:
    """Return what became of the disk that the server had, as far as its host has said so."""
    steps = [step for item in outcome.items for step in item.get("steps") or []]
    if not steps:
        return UNKNOWN
    exchange = next((step for step in steps if _is_exchange(step)), None)
    if exchange is None:
        return KEPT
    # What it says of its own failure stands beside the item's message.
    gone = not exchange.get("failed") or any(item.get("old_data_gone") for item in outcome.items)
    return GONE if gone else KEPT


def _is_exchange(step: object) -> bool:
    return isinstance(step, dict) and str(step.get("module")).rpartition(".")[2] == EXCHANGE
