"""The cloud's API as the stream uses it: one request at a time, and who is away is away.

No client library: what was accepted must be told from what was not, and a library that tries again
by itself hides that.
"""

import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.waiting import wait_until

MICROVERSION = "2.79"
TIMEOUT_S = 60
LOOK_EVERY_S = 0.25


class Away(Exception):
    """The API did not answer; whether it took the request in is not known."""


class Closed(Away):
    """Nobody listens there, so the request was taken in by nobody."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    request_id: str
    # A new one, of a log-in.
    token: str = field(repr=False, default="")

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str
    project: str


class Api:
    """One user's view of the cloud, whose controllers are at `urls`. Threads may share it.

    Requests go to the controllers in turn; where nobody listens, to the next one.
    """

    def __init__(self, urls: Sequence[str], credentials: Credentials) -> None:
        self._urls, self._credentials = tuple(urls), credentials
        self._turns = itertools.count()
        self._token = ""

    def compute(self, method: str, path: str, body: Any = None) -> Answer:
        """Ask the Compute API. Raises Away."""
        answer = self._ask(method, f"/compute/v2.1{path}", body)
        if answer.status == 401:
            self.log_in()
            answer = self._ask(method, f"/compute/v2.1{path}", body)
        return answer

    def read(self, path: str, timeout_s: float = 120.0) -> Answer:
        """Read from the Compute API, again until it answers; a read may be repeated."""
        return wait_until(
            lambda: self._read_or_none(path),
            what=f"the API answers {path}", timeout_s=timeout_s, interval_s=LOOK_EVERY_S,
        )  # fmt: skip

    def log_in(self) -> None:
        """Get a token. Raises Away."""
        user = {"name": self._credentials.username, "domain": {"id": "default"}}
        scope = {"project": {"name": self._credentials.project, "domain": {"id": "default"}}}
        identity = {
            "methods": ["password"],
            "password": {"user": user | {"password": self._credentials.password}},
        }
        body = {"auth": {"identity": identity, "scope": scope}}
        answer = self._ask("POST", "/identity/v3/auth/tokens", body)
        if not answer.accepted:
            raise Away(f"log-in: {answer.status} {answer.body}")
        self._token = answer.token

    def _read_or_none(self, path: str) -> Answer | None:
        try:
            answer = self.compute("GET", path)
        except Away:
            return None
        return None if answer.status >= 500 else answer

    def _ask(self, method: str, path: str, body: Any) -> Answer:
        turn = next(self._turns)
        for number in range(len(self._urls)):
            url = self._urls[(turn + number) % len(self._urls)]
            try:
                return self._ask_one(self._request(url, method, path, body))
            except Closed as error:
                closed = error
        raise closed

    def _ask_one(self, request: urllib.request.Request) -> Answer:
        asked = f"{request.get_method()} {request.full_url}"
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 -- our own URL
                return _answer(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.read(), error.headers)
        except (OSError, ValueError) as error:
            if isinstance(getattr(error, "reason", error), ConnectionRefusedError):
                raise Closed(f"{asked}: {error}") from error
            raise Away(f"{asked}: {error}") from error
        except Exception as error:
            # An answer that broke off in the middle.
            raise Away(f"{asked}: {type(error).__name__} {error}") from error

    def _request(self, url: str, method: str, path: str, body: Any) -> urllib.request.Request:
        return urllib.request.Request(  # noqa: S310 -- our own URL
            url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={
                "Content-Type": "application/json",
                "X-Auth-Token": self._token,
                "OpenStack-API-Version": f"compute {MICROVERSION}",
            },
        )


def _answer(status: int, body: bytes, headers: Any) -> Answer:
    try:
        parsed = json.loads(body) if body else None
    except ValueError:
        parsed = body.decode(errors="replace")
    return Answer(
        status, parsed, str(headers.get("x-openstack-request-id", "")),
        str(headers.get("X-Subject-Token", "")),
    )  # fmt: skip
