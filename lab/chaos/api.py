"""The cloud's API as the stream uses it: one request at a time, and who is away is away.

No client library: what was accepted must be told from what was not, and a library that tries again
by itself hides that.
"""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from lab.chaos.waits import wait_for

MICROVERSION = "2.79"
TIMEOUT_S = 60


class Away(Exception):
    """The API did not answer; whether it took the request in is not known."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    request_id: str

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str
    project: str


class Api:
    """One user's view of the cloud at `url`. Threads may share it."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self._url, self._credentials = url, credentials
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
        return wait_for(lambda: self._read_or_none(path), f"the API answers {path}", timeout_s)

    def is_ready(self) -> bool:
        """Return whether the API says that it is ready."""
        try:
            return self._ask("GET", "/readyz", None, timeout_s=2).status == 200
        except Away:
            return False

    def log_in(self) -> None:
        """Get a token. Raises Away."""
        user = {"name": self._credentials.username, "domain": {"id": "default"}}
        scope = {"project": {"name": self._credentials.project, "domain": {"id": "default"}}}
        identity = {
            "methods": ["password"],
            "password": {"user": user | {"password": self._credentials.password}},
        }
        body = {"auth": {"identity": identity, "scope": scope}}
        request = self._request("POST", "/identity/v3/auth/tokens", body)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 -- our own URL
                self._token = answer.headers["X-Subject-Token"]
        except OSError as error:
            raise Away(str(error)) from error

    def _read_or_none(self, path: str) -> Answer | None:
        try:
            answer = self.compute("GET", path)
        except Away:
            return None
        return None if answer.status >= 500 else answer

    def _ask(self, method: str, path: str, body: Any, timeout_s: float = TIMEOUT_S) -> Answer:
        try:
            with urllib.request.urlopen(  # noqa: S310 -- our own URL
                self._request(method, path, body), timeout=timeout_s
            ) as answer:
                return _answer(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error.code, error.read(), error.headers)
        except (OSError, ValueError) as error:
            raise Away(f"{method} {path}: {error}") from error
        except Exception as error:
            # An answer that broke off in the middle.
            raise Away(f"{method} {path}: {type(error).__name__} {error}") from error

    def _request(self, method: str, path: str, body: Any) -> urllib.request.Request:
        return urllib.request.Request(  # noqa: S310 -- our own URL
            self._url + path,
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
    return Answer(status, parsed, str(headers.get("x-openstack-request-id", "")))
