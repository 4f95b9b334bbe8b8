"""The stream: actors that make servers and act on them, one after the other, until told to stop.

Each actor has servers of its own, so that a refusal or an end is the doing of its own request or of
what was killed. Every request that was accepted is kept, with how it ended.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.chaos.api import Api, Away
from lab.errors import LabError

# How an accepted request ended. Lost and wrong are what must never be.
DONE, ERROR, LOST, WRONG = "done", "error", "lost", "wrong"
# Recovery of a whole host, with all that is tried again first, takes its time on a busy machine.
SETTLE_S = 300.0
LOOK_EVERY_S = 0.4
SERVERS_PER_ACTOR = 2
# What servers are resized between: MB of memory by name.
FLAVORS = {"c1.blank": 64, "c2.blank": 80}

# How often a request is called off at once by a delete, which it has to give way to.
CANCELLED = 0.08

BODIES: dict[str, Any] = {
    "start": {"os-start": None},
    "stop": {"os-stop": None},
    "reboot": {"reboot": {"type": "SOFT"}},
    "hard_reboot": {"reboot": {"type": "HARD"}},
    "pause": {"pause": None},
    "unpause": {"unpause": None},
    "suspend": {"suspend": None},
    "resume": {"resume": None},
    "migrate": {"migrate": None},
    "live_migrate": {"os-migrateLive": {"host": None, "block_migration": "auto"}},
    "rescue": {"rescue": {}},
    "unrescue": {"unrescue": None},
    "shelve": {"shelve": None},
    "unshelve": {"unshelve": None},
    "confirm": {"confirmResize": None},
    "revert": {"revertResize": None},
}
# By the status that a server has; delete is always possible.
POSSIBLE: dict[str, tuple[str, ...]] = {
    "ACTIVE": (
        "stop", "stop", "reboot", "reboot", "hard_reboot", "delete",
        "pause", "suspend", "resize", "migrate", "live_migrate", "live_migrate", "rebuild",
        "rescue", "shelve",
    ),
    "SHUTOFF": ("start", "start", "start", "hard_reboot", "delete", "resize", "migrate", "rebuild"),
    "PAUSED": ("unpause", "unpause", "unpause", "hard_reboot", "delete"),
    "SUSPENDED": ("resume", "resume", "resume", "delete"),
    "RESCUE": ("unrescue", "unrescue", "unrescue", "delete"),
    "SHELVED": ("unshelve", "unshelve", "delete"),
    "SHELVED_OFFLOADED": ("unshelve", "unshelve", "unshelve", "delete"),
    "VERIFY_RESIZE": ("confirm", "confirm", "revert", "revert", "delete"),
    "ERROR": ("hard_reboot", "delete", "delete"),
}  # fmt: skip
_EITHER = frozenset({"ACTIVE", "SHUTOFF"})
STATUS_AFTER: dict[str, frozenset[str]] = {
    "create": frozenset({"ACTIVE"}),
    "start": frozenset({"ACTIVE"}),
    "reboot": frozenset({"ACTIVE"}),
    "hard_reboot": frozenset({"ACTIVE"}),
    "stop": frozenset({"SHUTOFF"}),
    "pause": frozenset({"PAUSED"}),
    "unpause": frozenset({"ACTIVE"}),
    "suspend": frozenset({"SUSPENDED"}),
    "resume": frozenset({"ACTIVE"}),
    "resize": frozenset({"VERIFY_RESIZE"}),
    "migrate": frozenset({"VERIFY_RESIZE"}),
    "live_migrate": frozenset({"ACTIVE"}),
    "rescue": frozenset({"RESCUE"}),
    "unrescue": frozenset({"ACTIVE"}),
    "shelve": frozenset({"SHELVED", "SHELVED_OFFLOADED"}),
    "unshelve": frozenset({"ACTIVE"}),
    "rebuild": _EITHER,
    # As it was before it was moved.
    "confirm": _EITHER,
    "revert": _EITHER,
}


@dataclass
class Asked:
    """A request that was accepted. Times are those of time.monotonic()."""

    action: str
    server_id: str
    request_id: str
    accepted_at: float
    ended_at: float = 0.0
    outcome: str = ""
    detail: str = ""
    host: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Stream:
    """What all actors share. `limit` is how many requests are to be accepted at least.

    More are made while `go_on()` is true. After `ends_at`, of time.monotonic(), none is.
    """

    api: Api
    create: dict[str, Any]
    # The ids of FLAVORS, by their names.
    flavors: Mapping[str, str]
    limit: int
    ends_at: float
    go_on: Callable[[], bool] = lambda: False
    asked: list[Asked] = field(default_factory=list)
    refused: int = 0
    away: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def has_more(self) -> bool:
        with self.lock:
            if self.stopping.is_set() or time.monotonic() >= self.ends_at:
                return False
            return len(self.asked) < self.limit or self.go_on()

    def keep(self, asked: Asked) -> Asked:
        with self.lock:
            self.asked.append(asked)
        return asked

    def ended(self) -> list[Asked]:
        with self.lock:
            return [each for each in self.asked if each.outcome]


class Actor(threading.Thread):
    """One who asks. Its dice are its own, so that a seed gives the same wishes."""

    def __init__(self, stream: Stream, number: int, seed: int) -> None:
        super().__init__(name=f"actor-{number}", daemon=True)
        self._stream, self._number = stream, number
        self._dice = random.Random(seed * 1000 + number)  # noqa: S311 -- a test's dice
        self._made = 0
        # Server -> the status that it had when its last request ended.
        self._servers: dict[str, str] = {}
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while self._stream.has_more():
                self._act()
        except BaseException as error:
            self.failure = error

    def delete_all(self) -> None:
        """Delete what is left; for the end, when nothing is killed any more."""
        for server_id in list(self._servers):
            self._do("delete", server_id)

    def _act(self) -> None:
        if not self._servers or (
            len(self._servers) < SERVERS_PER_ACTOR and self._dice.random() < 0.5
        ):
            self._create()
            return
        server_id = self._dice.choice(sorted(self._servers))
        status = self._servers[server_id]
        if status not in POSSIBLE:
            # Somebody else is at work on it: the controller, after a host's boot.
            self._servers[server_id] = self._settle(server_id)["status"]
            return
        self._do(self._dice.choice(POSSIBLE[status]), server_id)

    def _create(self) -> None:
        self._made += 1
        name = f"chaos-{self._number}-{self._made}"
        try:
            answer = self._stream.api.compute(
                "POST", "/servers", {"server": {**self._stream.create, "name": name}}
            )
        except Away:
            self._stream.away += 1
            # It may have been taken in; then it is there by its name.
            found = self._stream.api.read(f"/servers?name=%5E{name}%24").body["servers"]
            for server in found:
                self._follow(Asked("create", server["id"], "", time.monotonic()))
            return
        if not answer.accepted:
            self._refused(answer.status)
            return
        server_id = answer.body["server"]["id"]
        asked = Asked("create", server_id, answer.request_id, time.monotonic())
        self._follow_or_cancel(asked)

    def _follow_or_cancel(self, asked: Asked) -> None:
        if asked.action == "delete" or self._dice.random() >= CANCELLED:
            self._follow(asked)
            return
        self._stream.keep(asked)
        self._servers[asked.server_id] = "?"
        self._do("delete", asked.server_id)
        asked.ended_at, asked.outcome, asked.detail = time.monotonic(), DONE, "gave way"

    def _do(self, action: str, server_id: str) -> None:
        try:
            if action == "delete":
                answer = self._stream.api.compute("DELETE", f"/servers/{server_id}")
            else:
                answer = self._stream.api.compute(
                    "POST", f"/servers/{server_id}/action", self._body(action, server_id)
                )
        except Away:
            self._stream.away += 1
            self._servers[server_id] = "?"
            return
        if answer.status == 404:
            # A delete that was taken in while the API went away.
            self._servers.pop(server_id, None)
        elif not answer.accepted:
            self._refused(answer.status)
            self._servers[server_id] = "?"
        else:
            asked = Asked(action, server_id, answer.request_id, time.monotonic())
            self._follow_or_cancel(asked)

    def _body(self, action: str, server_id: str) -> dict[str, Any]:
        if action == "rebuild":
            return {"rebuild": {"imageRef": self._stream.create["imageRef"]}}
        if action != "resize":
            return dict(BODIES[action])
        server = self._stream.api.read(f"/servers/{server_id}").body.get("server") or {}
        own = server.get("flavor", {}).get("original_name")
        other = next(name for name in FLAVORS if name != own)
        return {"resize": {"flavorRef": self._stream.flavors[other]}}

    def _refused(self, status: int) -> None:
        self._stream.refused += 1
        # Refused because busy: the controller may be starting it again, or the queue is full.
        self._stream.stopping.wait(1.0 if status in (409, 429, 503) else 0.2)

    def _follow(self, asked: Asked) -> None:
        self._stream.keep(asked)
        try:
            server = self._settle(asked.server_id)
        except LabError as error:
            asked.ended_at, asked.outcome, asked.detail = time.monotonic(), LOST, str(error)
            self._servers.pop(asked.server_id, None)
            return
        asked.ended_at = time.monotonic()
        asked.host = server.get("OS-EXT-SRV-ATTR:host")
        asked.outcome, asked.detail = self._judge(asked, server)
        if server["status"] == "DELETED":
            self._servers.pop(asked.server_id, None)
        else:
            self._servers[asked.server_id] = server["status"]

    def _settle(self, server_id: str) -> dict[str, Any]:
        """Return the server once nothing is being done to it. Raises LabError."""
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            answer = self._stream.api.read(f"/servers/{server_id}")
            if answer.status == 404:
                return {"status": "DELETED"}
            if not answer.accepted:
                raise LabError(f"server {server_id} is not shown: {answer.status} {answer.body}")
            server: dict[str, Any] = answer.body["server"]
            if server["OS-EXT-STS:task_state"] is None:
                return server
            time.sleep(LOOK_EVERY_S)
        raise LabError(f"server {server_id} is {server['OS-EXT-STS:task_state']} for {SETTLE_S} s")

    def _judge(self, asked: Asked, server: dict[str, Any]) -> tuple[str, str]:
        """Return how the request ended: as it was asked, in a clean error, or wrongly."""
        status = server["status"]
        if asked.action == "delete":
            if status == "DELETED":
                return DONE, ""
            return (ERROR, _fault(server)) if status == "ERROR" else (WRONG, f"it is {status}")
        if status == "ERROR":
            fault = _fault(server)
            return (ERROR, fault) if fault else (WRONG, "ERROR without a fault")
        if status in STATUS_AFTER[asked.action]:
            return DONE, ""
        return self._judge_by_record(asked, status)

    def _judge_by_record(self, asked: Asked, status: str) -> tuple[str, str]:
        """A failed stop or start leaves the server as it was, and its record says so."""
        path = f"/servers/{asked.server_id}/os-instance-actions"
        actions = self._stream.api.read(path).body["instanceActions"]
        own = next((each for each in actions if each["request_id"] == asked.request_id), None)
        if own is not None and own["message"]:
            return ERROR, f"{own['message']}; it is {status}"
        newer = [each for each in actions if own and each["start_time"] > own["start_time"]]
        if newer:
            return DONE, f"then {newer[0]['action']} by the controller"
        if status == "SHUTOFF":
            return DONE, "then its host lost power, or its guest ended"
        return WRONG, f"it is {status}, and its record says success"


def _fault(server: dict[str, Any]) -> str:
    return str((server.get("fault") or {}).get("message", ""))


def run_actors(stream: Stream, count: int, seed: int) -> list[Actor]:
    """Start the actors, and return them."""
    actors = [Actor(stream, number, seed) for number in range(count)]
    for actor in actors:
        actor.start()
    return actors


def wait_all(actors: Sequence[Actor], timeout_s: float) -> None:
    """Wait for the actors' ends. Raises what one of them failed by, or LabError."""
    deadline = time.monotonic() + timeout_s
    for actor in actors:
        actor.join(max(0.1, deadline - time.monotonic()))
        if actor.failure is not None:
            raise actor.failure
        if actor.is_alive():
            raise LabError(f"{actor.name} is not done after {timeout_s:g} s.")
