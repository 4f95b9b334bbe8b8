"""Ask a controller's API again and again, and note when it did not answer."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.chaos.api import Api, Away, Credentials
from lab.chaos.kills import Kill

EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """One request to the controller at `url`. Times are those of time.monotonic()."""

    url: str
    began_at: float
    ended_at: float
    # What was said instead of an answer; empty where there was one.
    wrong: str


@dataclass
class Watch:
    """Looks at each of `urls`, from a thread of its own, from `start` until `stop`.

    What is asked needs a token and the database: a list of servers.
    """

    urls: Sequence[str]
    credentials: Credentials
    looks: list[Look] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for url in self.urls:
            thread = threading.Thread(target=self._watch, args=(url,), name=f"watch {url}")
            thread.daemon = True
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, url: str) -> None:
        api = Api([url], self.credentials)
        while not self._stopping.wait(EVERY_S):
            began_at = time.monotonic()
            wrong = _ask(api)
            self.looks.append(Look(url, began_at, time.monotonic(), wrong))


def _ask(api: Api) -> str:
    try:
        answer = api.compute("GET", "/servers?limit=1")
    except Away as error:
        return str(error)
    return "" if answer.accepted else f"{answer.status} {answer.body}"


def silences(looks: Sequence[Look], kills: Sequence[Kill]) -> list[str]:
    """Return where a controller did not answer though it was another one that was killed.

    Counted is what was asked between a controller's kill, or that of a part of it, and its return.
    """
    found = []
    for kill in kills:
        if not kill.url or kill.back_at is None:
            continue
        found += [
            f"{look.url} did not answer while {kill.kind} of {kill.url} was away: {look.wrong}"
            for look in looks
            if look.url != kill.url and kill.at <= look.began_at < kill.back_at and look.wrong
        ]
    return found


def answered_meanwhile(looks: Sequence[Look], kills: Sequence[Kill]) -> int:
    """Return how many requests one controller answered while another was away."""
    return sum(
        look.url != kill.url and kill.at <= look.began_at < kill.back_at and not look.wrong
        for kill in kills
        if kill.url and kill.back_at is not None
        for look in looks
    )
