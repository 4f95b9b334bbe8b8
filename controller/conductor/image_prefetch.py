"""image_prefetch: the base of an image on a host, before a server needs it.

Nothing is fenced: a base is made under a lock of its own, complete as soon as it has its name, and
the same whoever makes it. So a run that was given up does no harm, and its successor goes on where
it came to.
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from controller.conductor import backoff
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core.image_prefetch import KIND
from controller.db.models import Image

TRIES = 3


class FetchImage(Step):
    name = "fetch_image"
    no_undo = "a base that no disk stands on goes by its age"

    def do(self, work: Work) -> Play | None:
        image = work.session.get(Image, work.operation.arguments["image_id"])
        if work.operation.host_id is None or image is None or image.deleted_at is not None:
            # Host or image were removed meanwhile: there is nothing left to do.
            return None
        return Play(
            KIND,
            work.host_id,
            image_id=image.id,
            timeout_s=work.settings.image_prefetch_timeout_s,
        )

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check("The image could not be brought to a host.")


class ImagePrefetch(Flow):
    kind = KIND
    steps = (FetchImage(),)
    ordered = False
    # Images are large: servers' own work has the host's other slots.
    one_per_host = True

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if not failure.unreachable or work.operation.attempts + 1 >= TRIES:
            return None
        return Again(backoff.delay_s(work.settings.retry_backoff_s, work.operation.attempts + 1))
