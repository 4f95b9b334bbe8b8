"""server_shelve, server_shelve_offload and server_unshelve.

A server is shut down, its disk becomes an image, and its host may forget it. It comes back as a
create does, by the scheduler, with a disk made of that image, which then goes.
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

import logging

from controller.conductor import backoff, server_images
from controller.conductor.arguments import image_entry
from controller.conductor.made_on_host import MadeOnHost
from controller.conductor.server_create import BindPorts, ChooseHost
from controller.conductor.server_images import KeepImage, LeaveHost, TakeImage, tries_again
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import boot_images, ports, server_shelve, transitions
from controller.db.models import Image
from controller.errors import Gone
from controller.placement import allocations
from controller.states import ACTIVE, SHELVED, TABLE

log = logging.getLogger(__name__)

SHELVE, OFFLOAD, UNSHELVE = TABLE["shelve"], TABLE["shelve_offload"], TABLE["unshelve"]
ATTEMPTS = 3


class PowerOff(Step):
    """The guest is shut down by the play of the next step; here it is started again."""

    name = "power_off"

    def do(self, work: Work) -> Play | None:
        return None

    def undo(self, work: Work) -> Play | None:
        failure = Failure.of_json(work.operation.error)
        if tries_again(work, failure) or failure.cancelled or work.server.host_id is None:
            return None
        if work.operation.arguments["was"] == ACTIVE:
            return Play("server_start", work.server.host_id)
        if work.operation.arguments["was"] != "stopped":
            # The memory of a paused or suspended guest went with the shutdown.
            transitions.seen_off(work.server, work.now)
        return None

    def undone(self, work: Work, outcome: Outcome) -> None:
        if not outcome.ok:
            log.warning("server %s is not started again: %s", work.server.id, outcome.message)
            transitions.seen_off(work.server, work.now)


class ServerShelve(server_images.ImageFlow):
    kind = "server_shelve"

    def __init__(self) -> None:
        taken = TakeImage()
        self.steps = (PowerOff(), taken, KeepImage(), LeaveHost(taken))

    def succeeded(self, work: Work) -> None:
        ports.set_status(work.session, work.server.id, "DOWN")
        server_shelve.note(work.server, work.operation.arguments["image_id"], work.now)
        transitions.succeed(work.server, SHELVE, work.now)
        if work.settings.shelved_offload_time_s == 0 and work.server.task_state is None:
            work.session.flush()
            server_shelve.offload(work.session, work.settings, work.server)


class RemoveFromHost(Step):
    name = "offload"
    no_undo = "the server's image holds all that was removed"

    def do(self, work: Work) -> Play | None:
        work.operation.host_id = work.server.host_id
        if work.server.host_id is None:
            return None
        return Play("server_shelve_offload", work.server.host_id)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The server could not be offloaded: its host could not remove it.")
        ports.unbind(work.session, work.server.id)
        allocations.release(work.session, work.server.id)
        work.server.host_id = None


class ServerShelveOffload(Flow):
    kind = "server_shelve_offload"
    steps = (RemoveFromHost(),)
    cancellable = True

    def succeeded(self, work: Work) -> None:
        transitions.succeed(work.server, OFFLOAD, work.now)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if failure.cancelled:
            transitions.give_way(work.server, OFFLOAD)
            return None
        if work.operation.attempts + 1 < ATTEMPTS:
            return Again(backoff.delay_s(1.0, work.operation.attempts + 1))
        transitions.fail(work.server, OFFLOAD, work.now, failure.message, failure.details)
        return None


def _is_on_host(work: Work) -> bool:
    """Whether the server never left its host, so that nothing is to be chosen or taken back."""
    return bool(work.operation.arguments["was"] == SHELVED)


class ChooseHostAgain(ChooseHost):
    def undo(self, work: Work) -> Play | None:
        return None if _is_on_host(work) else super().undo(work)


class BindPortsAgain(BindPorts):
    def undo(self, work: Work) -> Play | None:
        return None if _is_on_host(work) else super().undo(work)


class SpawnAgain(MadeOnHost):
    name = "spawn"
    removal = "server_shelve_offload"

    def do(self, work: Work) -> Play | None:
        if _is_on_host(work):
            return Play("server_start", work.host_id)
        image = work.session.get(Image, server_shelve.kept(work.server).get("image_id"))
        if image is None or image.deleted_at is not None:
            raise Gone("The image that the server was shelved to was deleted.")
        work.note(spawned=True)
        entry = {"image": image_entry(work.settings, image.id, boot_images.snapshot(image))}
        return Play("server_unshelve", work.host_id, entry=entry)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The server could not be unshelved: its host could not start it.")
        ports.set_status(work.session, work.server.id, "ACTIVE")


class DropImage(Step):
    name = "drop_image"
    no_undo = "the last step: nothing after it can fail"

    def do(self, work: Work) -> Play | None:
        server_shelve.drop_image(work.session, work.server)
        return None


class ServerUnshelve(Flow):
    kind = "server_unshelve"
    steps = (ChooseHostAgain(), BindPortsAgain(), SpawnAgain(), DropImage())
    cancellable = True

    def succeeded(self, work: Work) -> None:
        transitions.succeed(work.server, UNSHELVE, work.now)

    def failing(self, work: Work, failure: Failure) -> None:
        if failure.host_failed and not _is_on_host(work):
            work.note(tried=[*work.noted("tried", []), work.operation.host_id])

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if failure.cancelled:
            transitions.give_way(work.server, UNSHELVE)
            return None
        if failure.host_failed and work.operation.attempts + 1 < work.settings.create_attempts:
            return Again(backoff.delay_s(1.0, work.operation.attempts) if _is_on_host(work) else 0)
        transitions.fail(work.server, UNSHELVE, work.now, failure.message, failure.details)
        return None


FLOWS = (ServerShelve(), ServerShelveOffload(), ServerUnshelve())
