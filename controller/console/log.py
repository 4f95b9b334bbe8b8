"""The end of a server's console log, read over SSH from its host. Reads only: changes are plays."""

import re
import shlex

from controller.console import host_reads
from controller.db.models import Host
from controller.errors import NotFound
from controller.settings import Settings

# The most that is read of a log, as upstream.
MAX_BYTES = 100 * 1024
DEFAULT_STATE_PATH = "/var/lib/novella"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# All control characters but tab and line feed; a carriage return goes too, as upstream.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f]")


def read(settings: Settings, host: Host, server_id: str, lines: int | None = None) -> str:
    """Return the last `lines` of the log, None for all, of its last MAX_BYTES bytes.

    A log that isn't there yet is empty. Raises Unavailable when the host does not answer.
    """
    if lines == 0:
        return ""
    if not _UUID.fullmatch(server_id):
        raise NotFound.of("server", server_id)
    # ssh hands its words to a shell on the host, so each is quoted.
    state_path = str(host.variables.get("compute_state_path", DEFAULT_STATE_PATH))
    path = shlex.quote(f"{state_path}/instances/{server_id}/console.log")
    what = f"the console output of server {server_id}"
    done = host_reads.ask(settings, host, what, "tail", "-c", str(MAX_BYTES), "--", path)
    return tail(done.stdout.decode(errors="replace"), lines)


def tail(text: str, lines: int | None) -> str:
    """Return the last `lines` lines of `text`, fit to be shown."""
    text = _UNPRINTABLE.sub("", text)
    if lines is None:
        return text
    return "\n".join(text.rstrip("\n").split("\n")[-lines:])
