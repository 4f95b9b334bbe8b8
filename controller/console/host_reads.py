"""Questions to a host over SSH. Reads only: changes are plays."""

import subprocess

from controller.core.host_access import ssh_command
from controller.db.models import Host
from controller.errors import Unavailable
from controller.settings import Settings

TIMEOUT_S = 20
# What ssh itself exits with when it did not reach the host.
_SSH_FAILED = 255


def ask(
    settings: Settings, host: Host, what: str, *words: str
) -> subprocess.CompletedProcess[bytes]:
    """Return how the command `words` ended on the host, whose shell reads them: quote them.

    Raises Unavailable, which says that `what` can't be read, when the host does not answer.
    """
    command = ssh_command(settings, host, *words)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _away(what, host, "it took too long") from error
    if done.returncode == _SSH_FAILED:
        raise _away(what, host, done.stderr.decode(errors="replace")[-1000:])
    return done


def _away(what: str, host: Host, reason: str) -> Unavailable:
    return Unavailable(
        f"Cannot read {what}: its host does not answer. Try again later.",
        host=host.name,
        reason=reason,
    )
