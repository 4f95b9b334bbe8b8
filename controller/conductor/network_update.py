"""network_update: the networks, forwarding and routers of a host, set anew from the database."""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from sqlalchemy.orm import Session

from controller.conductor import backoff
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.core import agent_gateways, floating_ips, network_updates
from controller.errors import HostFailed


class SetNetworks(Step):
    name = "set_networks"
    no_undo = "the host follows the database; the next update sets what is right then"

    def do(self, work: Work) -> Play | None:
        if work.operation.host_id is None:
            # The host was removed from the cloud meanwhile.
            return None
        return Play("network_update", work.host_id, whole_host=True)

    def finished(self, work: Work, outcome: Outcome) -> None:
        failed = [item for item in outcome.items if item.get("failed")]
        if failed or not outcome.ok:
            raise HostFailed(
                "The networks could not be set on a host.",
                unreachable=outcome.unreachable,
                reason=outcome.message,
            )
        told_of(work.session, work.host_id)


def told_of(session: Session, host_id: str) -> None:
    """The host has what the database says, unless it is to be told of something newer by now."""
    if network_updates.waits(session, host_id):
        return
    floating_ips.in_effect(session, host_id)
    agent_gateways.drop_unneeded(session, host_id)


class NetworkUpdate(Flow):
    kind = network_updates.KIND
    steps = (SetNetworks(),)
    ordered = False
    # Arguments are read when a run starts: of two at once the older ones could come last.
    one_per_host = True

    def succeeded(self, work: Work) -> None:
        if work.operation.host_id is not None:
            network_updates.hurry_behind(work.session, work.host_id)

    def failed(self, work: Work, failure: Failure) -> Again | None:
        if work.operation.host_id is not None:
            # Whoever waits for it to let go of an address has waited long enough.
            network_updates.hurry_behind(work.session, work.host_id)
        # Until it gets through: members that came while a host was away must be reached from it.
        first_s = work.settings.retry_backoff_s
        return Again(backoff.delay_s(first_s, work.operation.attempts + 1))
