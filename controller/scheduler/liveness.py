"""Whether a host counts as up: it answered a run within a few heartbeats."""

from datetime import datetime, timedelta

from controller.db.models import Host

# One lost heartbeat is a busy network; three are a host that is down.
HEARTBEATS_MISSED = 3


def is_up(host: Host, now: datetime, down_after_s: float) -> bool:
    """Return whether the host was seen within `down_after_s` of `now` and isn't forced down."""
    if host.forced_down or host.last_seen_at is None:
        return False
    return now - host.last_seen_at <= timedelta(seconds=down_after_s)
