"""server_create_image and server_create_backup: a server's disk becomes an image.

The host makes a copy that stands by itself, and the play brings it to the image store, where it is
verified against the host's checksum. Only then is it the image's file, and the image active. What
breaks off goes on where it was, on both sides; what fails, or whose image is deleted meanwhile,
leaves nothing.
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

import logging
from typing import Any

from controller.conductor import backoff
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import image_quotas, image_store, images, server_images, transitions
from controller.core.image_inspection import inspect
from controller.core.image_store import Received
from controller.db.models import Image
from controller.errors import Conflict, Gone, HostFailed
from controller.runner.requests import TIMEOUT
from controller.states import BY_OPERATION, Transition

log = logging.getLogger(__name__)

# Of a run that broke off or whose time was over: it goes on where it was.
ATTEMPTS = 5
# Disks are large: as many times as long as other runs may take.
TIMES_LONGER = 4


def image_of(work: Work) -> Image:
    """Return the image that the operation makes. Raises Gone when it was deleted."""
    image = work.session.get(Image, work.operation.arguments["image_id"], with_for_update=True)
    if image is None or image.deleted_at is not None:
        raise Gone("The image was deleted before it was whole.")
    return image


def tries_again(work: Work, failure: Failure) -> bool:
    lost = failure.unreachable or bool(failure.found.get("timed_out"))
    return lost and not failure.cancelled and work.operation.attempts + 1 < ATTEMPTS


class TakeImage(Step):
    """The copy on the host, and its way to the store, by the operation's own playbook."""

    name = "image_snapshot"

    def do(self, work: Work) -> Play | None:
        work.operation.host_id = work.server.host_id
        if work.server.host_id is None:
            raise HostFailed("The server has no host.", reason="the server has no host")
        image = image_of(work)
        image.status = "saving"
        work.note(begun=True)
        work.settings.images_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        transitions.progress(work.server, self._row(work), "image_uploading")
        return self.play(work, self._told(work, image))

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(
            "The image could not be made: the server's host failed to copy its disk.",
            timed_out=outcome.status == TIMEOUT,
        )
        said = next((item["image"] for item in outcome.items if item.get("image")), None)
        if isinstance(said, dict):
            work.note(received=said)

    def undo(self, work: Work) -> Play | None:
        failure = Failure.of_json(work.operation.error)
        if tries_again(work, failure):
            return None
        server_images.discard(work.session, work.settings, work.operation.arguments["image_id"])
        if not work.noted("begun") or failure.unreachable:
            # In the server's own folder, and gone with the next copy or the server.
            return None
        return self.play(work, {"state": "absent"})

    def undone(self, work: Work, outcome: Outcome) -> None:
        if not outcome.ok:
            log.warning("a copy of a disk is left on its host: %s", outcome.message)
        work.note(begun=False)

    def _told(self, work: Work, image: Image) -> dict[str, Any]:
        settings = work.settings
        left = image_quotas.bytes_left(work.session, settings, image.project_id)
        return {
            "state": "present",
            "quiesce": work.operation.arguments["quiesce"],
            "fetch_to": str(image_store.fetched_path(settings, image.id)),
            "max_bytes": min(settings.max_image_bytes, settings.max_image_bytes if left is None
                             else left),
            "fetch_reserve_bytes": settings.image_store_reserve_mb << 20,
        }  # fmt: skip

    def play(self, work: Work, told: dict[str, Any]) -> Play:
        entry: dict[str, Any] = {"snapshot": {"id": work.operation.arguments["image_id"], **told}}
        if told["state"] == "absent":
            # Else the host's journal says that this operation has run these steps already.
            entry["operation_id"] = None
        timeout_s = TIMES_LONGER * work.settings.run_timeout_s
        return Play(work.operation.kind, work.host_id, entry=entry, timeout_s=timeout_s)

    @staticmethod
    def _row(work: Work) -> Transition:
        return BY_OPERATION[work.operation.kind]


class KeepImage(Step):
    name = "image_keep"
    no_undo = "the step before removes an image that isn't active, with its file"

    def do(self, work: Work) -> Play | None:
        image, settings = image_of(work), work.settings
        if image.status == "active":
            # This step makes it so, and ends with that.
            raise Conflict("The image was given other content before it was whole.")
        said = work.noted("received") or {}
        fetched = image_store.fetched_path(settings, image.id)
        kept = image_store.file_path(settings, image.id)
        if not fetched.exists() and not kept.exists():
            raise HostFailed(
                "The image could not be made: the copy of the disk did not arrive.",
                reason=f"there is no {fetched}",
            )
        virtual_size_bytes = inspect(fetched if fetched.exists() else kept, "qcow2")
        received = Received(
            (fetched if fetched.exists() else kept).stat().st_size,
            str(said.get("md5")),
            str(said.get("sha256")),
            str(said.get("sha512")),
        )
        if fetched.exists():
            image_store.keep_fetched(settings, image.id)
        image.status = "saving"
        work.session.flush()
        images.end_upload(work.session, settings, image, received, virtual_size_bytes)
        return None


class LeaveHost(Step):
    """The copy on the host goes; an image that is whole does not depend on it."""

    name = "image_clean_up"
    no_undo = "what is removed was made by this operation alone"

    def __init__(self, taken: TakeImage) -> None:
        self._taken = taken

    def do(self, work: Work) -> Play | None:
        return self._taken.play(work, {"state": "absent"})

    def finished(self, work: Work, outcome: Outcome) -> None:
        if not outcome.ok:
            log.warning("a copy of a disk is left on its host: %s", outcome.message)


class Rotate(Step):
    name = "rotate_backups"
    no_undo = "the last step: nothing after it can fail"

    def do(self, work: Work) -> Play | None:
        asked = work.operation.arguments
        kind, rotation = asked["backup_type"], int(asked["rotation"])
        server_images.rotate(work.session, work.server.id, kind, rotation)
        return None


class ImageFlow(Flow):
    cancellable = True

    def __init__(self, kind: str, *more: Step) -> None:
        self.kind = kind
        taken = TakeImage()
        self.steps = (taken, KeepImage(), LeaveHost(taken), *more)

    def succeeded(self, work: Work) -> None:
        transitions.succeed(work.server, BY_OPERATION[self.kind], work.now)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        row = BY_OPERATION[self.kind]
        if tries_again(work, failure):
            return Again(backoff.delay_s(1.0, work.operation.attempts + 1))
        if failure.cancelled:
            transitions.give_way(work.server, row)
        else:
            transitions.fail(work.server, row, work.now, failure.message, failure.details)
        return None


FLOWS = (ImageFlow("server_create_image"), ImageFlow("server_create_backup", Rotate()))
