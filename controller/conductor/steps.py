"""Steps and flows: what an operation consists of, and how each piece is taken back."""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from controller.db.models import Operation, Server, ServerEvent
from controller.errors import HostFailed
from controller.runner.requests import OK, UNREACHABLE
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class Work:
    """One operation within one transaction. Steps change its rows; the caller commits.

    Its rows are written at the end, together: who asks the database for what was changed here
    flushes first. `begun` are the events of steps that began here, by the steps' names.
    """

    session: Session
    settings: Settings
    operation: Operation
    server_or_none: Server | None
    now: datetime
    begun: dict[str, ServerEvent] = field(default_factory=dict)

    @property
    def server(self) -> Server:
        """The operation's server; for flows that have one."""
        assert self.server_or_none is not None  # noqa: S101 -- a flow without servers asked
        return self.server_or_none

    @property
    def host_id(self) -> str:
        """The host that the operation is bound to; for steps behind the one that chose it."""
        assert self.operation.host_id is not None  # noqa: S101 -- a step out of order
        return self.operation.host_id

    def note(self, **found: Any) -> None:
        """Keep what a step found out; it lasts with the transaction."""
        self.operation.data = {**self.operation.data, **found}

    def noted(self, name: str, default: Any = None) -> Any:
        """Return what `note` kept under `name`."""
        return self.operation.data.get(name, default)


@dataclass(frozen=True, slots=True)
class Play:
    """A playbook to be run on a host for the operation.

    `whole_host` is for plays about all servers of the host. `entry` is what this very play is told
    of the server besides, or instead of, what the database says. `timeout_s` None is the setting's.

    With `check` nothing is changed, and `entry` and `secrets` are all that it is told. `hooks` are
    operators' roles, run `hooks_at` a moment of the operation; see conductor.hooks.
    One with `image_id` is about that image on the host, and about no server.
    `peer_host_id` is another host that it has to reach; such a play is its operation's alone, whose
    id `alone_for` is, for it can be given up by itself.
    One with `told` is about a server that the database has not got yet: `entry` and `secrets` are
    all that it is told, too. `as_cloud` is the cloud that a play is run for, if not for ours.
    """

    playbook: str
    host_id: str
    whole_host: bool = False
    entry: Mapping[str, Any] = field(default_factory=dict, compare=False)
    timeout_s: int | None = None
    check: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    hooks: tuple[str, ...] = ()
    hooks_at: str = ""
    image_id: str | None = None
    peer_host_id: str | None = None
    alone_for: str | None = None
    told: bool = False
    as_cloud: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a play ended for one operation. `items` are its servers' results, checked to be its own.

    `message` is for operators, `refusal` what a role of theirs has to say to tenants.
    """

    status: str
    message: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    refusal: str = ""

    @property
    def ok(self) -> bool:
        return self.status == OK

    @property
    def unreachable(self) -> bool:
        return self.status == UNREACHABLE

    def check(self, message: str, **found: Any) -> None:
        """Raise HostFailed with `message`, which tenants may see, unless all went well.

        `found` reaches the flow with the failure.
        """
        if not self.ok:
            raise HostFailed(
                message, unreachable=self.unreachable, reason=self.message, found=found
            )


class Step:
    """A piece of an operation: `do` and `undo` get the work within a transaction.

    Each may be run again after a crash, so each leaves alone what is done already. `do` and `undo`
    may return a Play: the transaction is committed, the play runs, and `finished` or `undone` is
    called with its outcome in another one. Raising in `do` or `finished` starts the undoing, from
    this very step backwards, so `undo` copes with a `do` that never was.

    A step that undoes nothing says why in `no_undo`.
    """

    # As it is shown in os-instance-actions.
    name = ""
    no_undo = ""
    # Why its play is left out of a dry run, where it is; see conductor.dry_run.
    not_tried = ""
    # Whether `do` is asked again behind its play, until it has none.
    repeats = False

    def do(self, work: Work) -> Play | None:
        raise NotImplementedError

    def finished(self, work: Work, outcome: Outcome) -> None:
        """Take in what the play of `do` brought; raise what makes the operation fail."""
        outcome.check("The work on the server's host failed.")

    def undo(self, work: Work) -> Play | None:
        return None

    def undone(self, work: Work, outcome: Outcome) -> None:
        """Take in what the play of `undo` brought. Raising has it tried again later."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an operation is undone: for the tenant, for operators, and what the engine needs.

    `found` is what the failing step learned (`found` of the error's details), for the flow.
    """

    message: str
    details: str = ""
    host_failed: bool = False
    unreachable: bool = False
    cancelled: bool = False
    # A hook forbade it: the server is what it was.
    refused: bool = False
    found: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "message": self.message,
            "details": self.details,
            "host_failed": self.host_failed,
            "unreachable": self.unreachable,
            "cancelled": self.cancelled,
            "refused": self.refused,
            "found": self.found,
        }

    @classmethod
    def of_json(cls, kept: dict[str, Any] | None) -> "Failure":
        known = kept or {}
        return cls(
            str(known.get("message", "The operation failed.")),
            str(known.get("details", "")),
            bool(known.get("host_failed")),
            bool(known.get("unreachable")),
            bool(known.get("cancelled")),
            bool(known.get("refused")),
            dict(known.get("found") or {}),
        )


@dataclass(frozen=True, slots=True)
class Again:
    """The operation starts over from its first step, `after_s` from now."""

    after_s: float = 0.0


class Flow:
    """An operation's steps in order, and what its end means."""

    kind = ""
    steps: tuple[Step, ...] = ()
    # Whether it may be given up for another action on the same server.
    cancellable = False
    # Whether no other operation of its server may run meanwhile.
    ordered = True
    # Whether no other one of this kind may run on its host meanwhile.
    one_per_host = False
    # Kinds that this one cancels when they are queued or running on the same server.
    cancels: frozenset[str] = frozenset()

    def succeeded(self, work: Work) -> None:
        """All steps are done."""

    def failing(self, work: Work, failure: Failure) -> None:
        """The undoing begins; the operation still has the host that it failed on."""

    def failed(self, work: Work, failure: Failure) -> Again | None:
        """All steps are undone. Return Again for another try; None ends the operation."""
        return None
