"""server_create_snapshot, server_revert_snapshot, server_delete_snapshot: inside its disks.

One that could not be taken is removed again, where it was taken in part. The record outlives that,
in error, for its owner to see and delete.
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from typing import Any

from controller.conductor import backoff
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import disk_snapshots, transitions
from controller.db.models import DiskSnapshot
from controller.states import BY_OPERATION, ERROR

CREATE, REVERT, DELETE = (f"server_{verb}_snapshot" for verb in ("create", "revert", "delete"))
ATTEMPTS = 3


def _snapshot(work: Work) -> DiskSnapshot | None:
    return work.session.get(DiskSnapshot, work.operation.arguments["snapshot_id"])


def _play(work: Work, playbook: str) -> Play | None:
    work.operation.host_id = work.server.host_id
    if work.server.host_id is None:
        return None
    told: dict[str, Any] = {"id": work.operation.arguments["snapshot_id"]}
    if playbook == CREATE:
        told["quiesce"] = work.operation.arguments["quiesce"]
    return Play(playbook, work.server.host_id, entry={"disk_snapshot": told})


class TakeSnapshot(Step):
    name = "take_snapshot"

    def do(self, work: Work) -> Play | None:
        return _play(work, CREATE)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The snapshot could not be taken: the server's host failed to.")

    def undo(self, work: Work) -> Play | None:
        return _play(work, DELETE)

    def undone(self, work: Work, outcome: Outcome) -> None:
        outcome.check("What was taken of the snapshot could not be removed.")


class RevertDisks(Step):
    name = "revert_disks"
    no_undo = "what was written since is gone; the same revert again is the way on"

    def do(self, work: Work) -> Play | None:
        return _play(work, REVERT)

    def finished(self, work: Work, outcome: Outcome) -> None:
        partly = any(item.get("partly_reverted") is True for item in outcome.items)
        outcome.check(
            "The disks could not be reverted: the server's host failed to.", partly=partly
        )


class RemoveSnapshot(Step):
    name = "remove_snapshot"
    no_undo = "what was removed can't be brought back"

    def do(self, work: Work) -> Play | None:
        return _play(work, DELETE)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The snapshot could not be removed: the server's host failed to.")


class SnapshotFlow(Flow):
    cancellable = True
    # What the snapshot is when all went well; None: there is none any more.
    after: str | None = disk_snapshots.AVAILABLE
    after_failure = disk_snapshots.ERROR

    def succeeded(self, work: Work) -> None:
        snapshot = _snapshot(work)
        if snapshot is not None and self.after is None:
            work.session.delete(snapshot)
        elif snapshot is not None and self.after is not None:
            snapshot.status = self.after
        transitions.succeed(work.server, BY_OPERATION[self.kind], work.now)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        row, snapshot = BY_OPERATION[self.kind], _snapshot(work)
        retries = failure.unreachable and work.operation.attempts + 1 < ATTEMPTS
        if retries and not failure.cancelled:
            return Again(backoff.delay_s(1.0, work.operation.attempts + 1))
        if snapshot is not None:
            snapshot.status = self.after_failure
        if failure.cancelled:
            transitions.give_way(work.server, row)
            return None
        # Disks of two times are no server that may just be started.
        state = ERROR if failure.found.get("partly") else None
        transitions.fail(work.server, row, work.now, failure.message, failure.details, state)
        return None


class CreateSnapshot(SnapshotFlow):
    kind = CREATE
    steps = (TakeSnapshot(),)


class RevertSnapshot(SnapshotFlow):
    kind = REVERT
    steps = (RevertDisks(),)
    # It is on the disks as before.
    after_failure = disk_snapshots.AVAILABLE


class DeleteSnapshot(SnapshotFlow):
    kind = DELETE
    steps = (RemoveSnapshot(),)
    after = None


FLOWS = (CreateSnapshot(), RevertSnapshot(), DeleteSnapshot())
