"""Items' results while their run goes on, out of the file that the action plugin `apply` fills.

One line of JSON for each: {"host": name, "item": result} (plugins/plugin_utils/item_follower.py).
"""

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controller.runner import bounds
from controller.runner.host_text import keepable

log = logging.getLogger(__name__)

VARIABLE = "NOVELLA_ITEM_RESULTS"
# How soon a result is seen.
LOOK_EVERY_S = 0.1

Take = Callable[[str, dict[str, Any]], None]


@contextmanager
def following(path: Path, host_ids_by_name: Mapping[str, str], take: Take) -> Iterator[None]:
    """Call `take(host id, item)` for each result as it comes, from a thread of its own.

    When the block is left nothing is taken any more: the run's own results have everything.
    """
    path.touch(mode=0o600)
    stop = threading.Event()
    thread = threading.Thread(
        target=_follow, args=(path, host_ids_by_name, take, stop), name="item-results", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(path: Path, ids: Mapping[str, str], take: Take, stop: threading.Event) -> None:
    rest = b""
    with path.open("rb", buffering=0) as file:
        while not stop.wait(LOOK_EVERY_S):
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines:
                _take(line, ids, take)


def _take(line: bytes, ids: Mapping[str, str], take: Take) -> None:
    # All that a line this long says comes, cut to size or refused, with the run's end.
    if len(line) > bounds.EVENT_MAX_BYTES:
        return
    with contextlib.suppress(ValueError):
        entry = keepable(json.loads(line))
        if isinstance(entry, dict) and isinstance(entry.get("item"), dict):
            host_id = ids.get(str(entry.get("host")))
            if host_id is not None:
                take(host_id, entry["item"])
