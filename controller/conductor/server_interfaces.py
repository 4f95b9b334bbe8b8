"""server_attach_interface and server_detach_interface: a card of a server, running or not.

A port is bound to the host before its card is plugged in, and unbound before it is taken out: the
plays are told of bound ports alone. A host that does not answer may have the card or not; so the
port stays the server's, its address taken, until a play says otherwise.
"""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from controller.conductor import backoff
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import port_updates, ports, transitions
from controller.db.models import Port
from controller.states import BY_OPERATION, STOPPED

ATTACH, DETACH = "server_attach_interface", "server_detach_interface"
ATTEMPTS = 3

NOT_ATTACHED = "The interface could not be attached: the server's host failed to plug it in."
NOT_DETACHED = "The interface could not be detached: the server still has it."


def port_of(work: Work) -> Port | None:
    """Return the operation's port; None when it is no longer this server's."""
    port = work.session.get(Port, work.operation.arguments["port_id"])
    return port if port is not None and port.device_id == work.server.id else None


class BindPort(Step):
    name = "bind_port"

    def do(self, work: Work) -> Play | None:
        port = port_of(work)
        work.operation.host_id = work.server.host_id
        # A server that is on no host by now is given its cards when it comes to one.
        if port is not None and work.server.host_id is not None:
            ports.bind_port(work.session, port, work.server.host_id)
        return None

    def undo(self, work: Work) -> Play | None:
        port = port_of(work)
        if port is not None and not work.noted("kept"):
            ports.release_port(work.session, work.server.id, port)
        return None


class PlugIn(Step):
    name = "plug_in"

    def do(self, work: Work) -> Play | None:
        return _play(work, ATTACH)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(NOT_ATTACHED)
        _show(work)

    def undo(self, work: Work) -> Play | None:
        port = port_of(work)
        if port is None or port.host_id is None:
            return None
        if Failure.of_json(work.operation.error).unreachable:
            work.note(kept=True)
            return None
        ports.unbind_port(work.session, port)
        return _play(work, DETACH)

    def undone(self, work: Work, outcome: Outcome) -> None:
        if not outcome.ok:
            _keep(work)


class TakeOut(Step):
    name = "take_out"

    def do(self, work: Work) -> Play | None:
        port = port_of(work)
        work.operation.host_id = work.server.host_id
        if port is None or work.server.host_id is None:
            return None
        ports.unbind_port(work.session, port)
        return _play(work, DETACH)

    def finished(self, work: Work, outcome: Outcome) -> None:
        outcome.check(NOT_DETACHED)

    def undo(self, work: Work) -> Play | None:
        if port_of(work) is None or work.operation.host_id is None:
            return None
        _keep(work)
        if Failure.of_json(work.operation.error).unreachable:
            return None
        return _play(work, ATTACH)

    def undone(self, work: Work, outcome: Outcome) -> None:
        # What is wrong with the card by now, a hard reboot or `server check --fix` puts right.
        if outcome.ok:
            _show(work)


class ReleasePort(Step):
    name = "release_port"
    no_undo = "the last step: nothing after it can fail"

    def do(self, work: Work) -> Play | None:
        port = port_of(work)
        if port is not None:
            ports.release_port(work.session, work.server.id, port)
        return None


class InterfaceFlow(Flow):
    cancellable = True

    def __init__(self, kind: str, steps: tuple[Step, ...]) -> None:
        self.kind = kind
        self.steps = steps
        self._row = BY_OPERATION[kind]

    def succeeded(self, work: Work) -> None:
        transitions.succeed(work.server, self._row, work.now)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if failure.cancelled:
            return None
        if failure.unreachable and work.operation.attempts + 1 < ATTEMPTS:
            work.note(kept=False)
            return Again(backoff.delay_s(1.0, work.operation.attempts + 1))
        transitions.fail(work.server, self._row, work.now, failure.message, failure.details)
        return None


def _play(work: Work, playbook: str) -> Play | None:
    host_id = work.operation.host_id
    return None if host_id is None or port_of(work) is None else Play(playbook, host_id)


def _show(work: Work) -> None:
    port = port_of(work)
    if port is not None:
        port.status = "DOWN" if work.server.state == STOPPED else "ACTIVE"


def _keep(work: Work) -> None:
    """Leave the port with its server: the host may have its card, and is told of it again."""
    work.note(kept=True)
    port, host_id = port_of(work), work.operation.host_id
    if port is not None and host_id is not None:
        ports.bind_port(work.session, port, host_id)
        port_updates.submit_for_hosts(work.session, {host_id})


FLOWS = (
    InterfaceFlow(ATTACH, (BindPort(), PlugIn())),
    InterfaceFlow(DETACH, (TakeOut(), ReleasePort())),
)
