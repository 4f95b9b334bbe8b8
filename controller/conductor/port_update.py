"""port_update: the packet filter of all ports on a host, set anew from the database."""

# ruff: noqa: ARG002 -- a flow need not use all that its interface gives it

from controller.conductor import backoff
from controller.conductor.steps import Again, Failure, Flow, Outcome, Play, Step, Work
from controller.errors import HostFailed


class FilterPorts(Step):
    name = "filter_ports"
    no_undo = "the rules follow the database; the next update sets what is right then"

    def do(self, work: Work) -> Play | None:
        if work.operation.host_id is None:
            # The host was removed from the cloud meanwhile.
            return None
        return Play("port_update", work.host_id, whole_host=True)

    def finished(self, work: Work, outcome: Outcome) -> None:
        # A server that a newer run works on is refused by the fence; that run sets its rules.
        # Not so where the whole run is refused: the newest one has no successor, so the database
        # is older than the host, and no rules were set at all.
        failed = [
            item
            for item in outcome.items
            if item.get("failed") and (item.get("host_fenced") or not item.get("fenced"))
        ]
        if failed or (not outcome.ok and not outcome.items):
            raise HostFailed(
                "The rules could not be set on a host.",
                unreachable=outcome.unreachable,
                reason=outcome.message,
            )


class PortUpdate(Flow):
    kind = "port_update"
    steps = (FilterPorts(),)
    ordered = False
    # Arguments are read when a run starts: of two at once the older rules could come last.
    one_per_host = True

    def failed(self, work: Work, failure: Failure) -> Again | None:
        # Until it gets through: a rule that was taken back must not stay open on a host.
        first_s = work.settings.retry_backoff_s
        return Again(backoff.delay_s(first_s, work.operation.attempts + 1))
