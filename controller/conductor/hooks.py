"""Hooks: operators' own roles, run before and after operations, on the host that they are about.

Those of `before` run ahead of an operation's first play; one that fails ends the operation, and its
server is what it was. Those of `after` run when all is done; what they say is kept and changes
nothing. A worker that dies has them run again, so they describe a state as our own roles do.
"""

import logging

from controller.conductor import events
from controller.conductor.steps import Outcome, Play, Step, Work
from controller.core import hosts
from controller.errors import HostFailed, OperationRefused
from controller.settings import Settings

log = logging.getLogger(__name__)

PLAYBOOK = "server_hooks"
BEFORE, AFTER = "before", "after"
# Noted in the operation: which of them its play is, whether what that brought is taken in, and
# those of which try have passed.
_ASKED, _TAKEN, _PASSED = "hook_asked", "hook_taken", "hook_passed"
REFUSED = "The cloud's operators have a check before this, and it failed."


def roles_of(settings: Settings, moment: str, kind: str, host: str) -> tuple[str, ...]:
    """Return the roles that are set for operations of `kind` on the host, in their order."""
    return tuple(
        role
        for hook in settings.hooks
        if kind in hook["operations"]
        and ("aggregate" not in hook or host in settings.aggregates.get(hook["aggregate"], ()))
        for role in hook.get(moment, ())
    )


def before(work: Work, step: Step) -> Play | None:
    """Return the play of what comes before the operation's first play, if that is next.

    Where the operation goes, its step alone knows: it is asked, and what it did taken back.
    """
    play = _due_before(work, step)
    if play is None and work.noted(_ASKED) == BEFORE and work.noted(_TAKEN) is None:
        # Another life asked, whose settings had a hook: what ends now is none.
        work.note(**{_TAKEN: BEFORE})
    return play


def _due_before(work: Work, step: Step) -> Play | None:
    if not _concerns(work, BEFORE) or work.noted(_PASSED, -1) == work.operation.attempts:
        return None
    savepoint = work.session.begin_nested()
    try:
        play = step.do(work)
    finally:
        if savepoint.is_active:
            savepoint.rollback()
    return None if play is None else _play(work, BEFORE, play.host_id)


def after(work: Work) -> Play | None:
    """Return the play of what comes after the operation, unless it has run."""
    host_id = work.operation.host_id or (work.server_or_none and work.server.host_id)
    if not host_id or work.noted(_TAKEN) == AFTER or not _concerns(work, AFTER):
        return None
    return _play(work, AFTER, host_id)


def take_in(work: Work, outcome: Outcome) -> bool:
    """Take in what a hook's play brought, if that is what has ended.

    Raises OperationRefused when one of those before has failed.
    """
    moment = work.noted(_ASKED)
    if moment is None or work.noted(_TAKEN) == moment:
        return False
    work.note(**{_TAKEN: moment})
    if moment == AFTER:
        _keep(work, outcome)
        return True
    if outcome.unreachable:
        raise HostFailed(
            "The server's host could not be reached.", unreachable=True, reason=outcome.message
        )
    if not outcome.ok:
        raise OperationRefused(outcome.refusal or REFUSED, reason=f"hook: {outcome.message}")
    work.note(**{_PASSED: work.operation.attempts})
    events.end(work, f"hooks_{moment}", events.SUCCESS)
    return True


def _concerns(work: Work, moment: str) -> bool:
    return work.operation.server_id is not None and any(
        work.operation.kind in hook["operations"] and hook.get(moment)
        for hook in work.settings.hooks
    )


def _play(work: Work, moment: str, host_id: str) -> Play | None:
    name = hosts.get(work.session, host_id).name
    roles = roles_of(work.settings, moment, work.operation.kind, name)
    if not roles:
        return None
    work.note(**{_ASKED: moment, _TAKEN: None})
    events.begin(work, f"hooks_{moment}")
    return Play(PLAYBOOK, host_id, hooks=roles, hooks_at=moment)


def _keep(work: Work, outcome: Outcome) -> None:
    if outcome.ok:
        events.end(work, f"hooks_{AFTER}", events.SUCCESS)
        return
    log.warning(
        "operation %s %s is done, and a hook after it failed: %s",
        work.operation.kind, work.operation.id, outcome.message,
    )  # fmt: skip
    work.note(failures=[*work.noted("failures", []), f"hook after it: {outcome.message}"])
    events.end(work, f"hooks_{AFTER}", events.ERROR, outcome.message)
