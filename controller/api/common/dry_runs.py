"""Requests that are only tried out, by a header: what comes of them is an operation to poll."""

from dataclasses import dataclass, field
from typing import Any

from flask import Request
from sqlalchemy.orm import Session

from controller.core import dry_runs
from controller.core.context import Context
from controller.db.models import Operation
from controller.db.session import Database, Rehearsal
from controller.errors import BadRequest
from controller.settings import Settings

HEADER = "X-Novella-Dry-Run"
# Where operations are polled, whichever API they come from.
OPERATIONS = "/novella/v1/operations"
_YES, _NO = frozenset({"true", "1", "yes"}), frozenset({"", "false", "0", "no"})


def is_asked(request: Request) -> bool:
    """Whether the request is to be tried out. Raises BadRequest for a header that says neither."""
    said = request.headers.get(HEADER, "").strip().lower()
    if said not in _YES | _NO:
        raise BadRequest(f"The header {HEADER} is true or false, not {said[:40]!r}. Mend it.")
    return said in _YES


def refuse(what: str) -> BadRequest:
    """Return the refusal of what can't be tried out: it must not be done in earnest instead."""
    return BadRequest(
        f"{what} can't be tried out: {HEADER} is for a server's create, resize, migrate and "
        "delete. Leave the header out to have it done."
    )


@dataclass
class Trial:
    """A request that is handled with `db`, in which nothing stays; `plan` is what it would do."""

    db: Rehearsal = field(init=False)
    plan: dry_runs.Plan = field(default_factory=lambda: dry_runs.Plan([], {}))

    @classmethod
    def on(cls, db: Database) -> "Trial":
        trial = cls()
        trial.db = Rehearsal(db, trial._look)
        return trial

    def _look(self, session: Session) -> None:
        plan = dry_runs.look(session)
        # A handler may write more than once; a transaction that was done again has the last word.
        if plan.operations:
            self.plan = plan

    def accept(
        self, db: Database, settings: Settings, context: Context, root: str
    ) -> tuple[dict[str, Any], str]:
        """Write the operation; return the answer's body, and where to poll it."""

        def submit(session: Session) -> Operation:
            return dry_runs.submit(session, settings, context, self.plan)

        operation = db.run(submit)
        href = f"{root}{OPERATIONS}/{operation.id}"
        view = {
            "id": operation.id,
            "kind": operation.kind,
            "state": operation.state,
            "links": [{"rel": "self", "href": href}],
        }
        return {"operation": view}, href
