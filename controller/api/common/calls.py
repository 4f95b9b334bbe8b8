"""The way of a call: from a row of a dialect's URL table to its handler and back.

Each dialect is a table of `Route` rows, which shows the whole service. Around every handler, in
this order: request id, microversion, token, policy, body, schema, session. The handler gets a
`Call` and returns a `Reply`; any NovellaError is rendered by the dialect's own `render_fault`.
"""

import contextlib
import copy
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal, Protocol

from flask import Blueprint, Flask, Request, Response, request
from flask.blueprints import BlueprintSetupState
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import ClientDisconnected

from controller.api.common import access, dry_runs, origin
from controller.api.common.bodies import parse_json
from controller.api.common.policy import Policy
from controller.api.common.validation import Schema, check
from controller.core.context import Context
from controller.db import failures
from controller.db.session import Database, Rehearsal
from controller.errors import (
    BadRequest,
    ConcurrentUpdate,
    NotBuilt,
    NotFound,
    NovellaError,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from controller.settings import Settings

log = logging.getLogger(__name__)

# Of a refused request's body, so much is still read (and forgotten) before the answer.
DISCARDED_BYTES_MAX = 256 << 20
DISCARDING_S_MAX = 2.0
# A line of a request has 8 KiB, which is 200 ids as parameters.
PARAMETERS_MAX = 500
# When to come again where nothing better is known: a database is started again in seconds.
RETRY_AFTER_S = "2"


class Authenticator(Protocol):
    """The one place where a token is validated; see api.common.tokens."""

    def __call__(self, session: Session, token: str | None, request_id: str) -> Context: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What handlers are given of the application."""

    settings: Settings
    db: Database
    policy: Policy
    authenticate: Authenticator
    # The time that workers write into leases and heartbeats by.
    clock: Callable[[], datetime]


@dataclass(slots=True)
class Call:
    """One request. `session` is open in the mode that the route asked for."""

    request: Request
    services: Services
    context: Context
    session: Session
    body: Any = None
    # The microversion as (major, minor); (0, 0) in dialects without.
    version: tuple[int, int] = (0, 0)

    @property
    def settings(self) -> Settings:
        return self.services.settings

    @property
    def dry_run(self) -> bool:
        """Whether the request is only tried out: nothing that it writes stays."""
        return isinstance(self.services.db, Rehearsal)

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.args

    @property
    def root(self) -> str:
        """The address that the client used to reach us, without a trailing slash."""
        return origin.root(self.request, self.settings)

    @property
    def address(self) -> str:
        """The client's IP address."""
        return origin.address(self.request, self.settings)

    def authorize(self, rule: str, target: Mapping[str, Any] | None = None) -> None:
        """Refuse with Forbidden unless the policy `rule` allows this caller."""
        self.services.policy.authorize(rule, self.context, target)

    def allows(self, rule: str, target: Mapping[str, Any] | None = None) -> bool:
        return self.services.policy.allows(rule, self.context, target)


@dataclass(slots=True)
class Reply:
    """What a handler answers: a body to be written as JSON, None for no body, or a Response."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    response: Response | None = None


Handler = Callable[..., Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """A row of a URL table. `policy` None is for public paths (discovery, log-in)."""

    method: str
    path: str
    handler: Handler
    policy: str | None
    schema: Schema | None = None
    # read: rolled back; write: committed; own: the handler opens its sessions from call.services.db
    # (uploads, whose transactions must not span the stream). `call.session` is then for the token.
    transaction: Literal["read", "write", "own"] | None = None
    # True leaves the body to the handler (uploads).
    raw_body: bool = False
    # Another limit than the setting `max_body_bytes`.
    max_body_bytes: int | None = None
    # Whether it can be tried out (api.common.dry_runs); others refuse that.
    dry_run: bool = False

    @property
    def mode(self) -> str:
        return self.transaction or ("read" if self.method in ("GET", "HEAD") else "write")


class Dialect(Protocol):
    """What differs between the APIs."""

    name: str

    def render_fault(self, error: NovellaError, request_id: str) -> Reply:
        """Return the error in the form of this API."""

    def negotiate(self, incoming: Request) -> tuple[int, int]:
        """Return the microversion that is asked for, or raise NotAcceptable or BadRequest."""

    def version_headers(self, version: tuple[int, int]) -> dict[str, str]:
        """Return the headers that tell the client which microversion was used."""


def build_blueprint(
    dialect: Dialect,
    routes: Iterable[Route],
    services: Services,
    prefix: str,
    not_built: Iterable[tuple[str, str]] = (),
) -> Blueprint:
    """Return the blueprint of a dialect. `not_built` are (methods, path) rows that answer 501."""
    blueprint = Blueprint(dialect.name, __name__, url_prefix=prefix)
    blueprint.record_once(partial(_remember_dialect, prefix, dialect))
    for route in routes:
        blueprint.add_url_rule(
            route.path,
            endpoint=f"{route.method} {route.path}".replace(".", "_"),
            view_func=_view(dialect, route, services),
            methods=[route.method],
            strict_slashes=False,
            provide_automatic_options=False,
        )
    for methods, path in not_built:
        blueprint.add_url_rule(
            path,
            endpoint=f"501 {methods} {path}".replace(".", "_"),
            view_func=_view(dialect, Route("GET", path, _refuse_not_built, None), services),
            methods=methods.split(","),
            strict_slashes=False,
            provide_automatic_options=False,
        )
    return blueprint


def _remember_dialect(prefix: str, dialect: Dialect, state: BlueprintSetupState) -> None:
    state.app.extensions.setdefault("novella_dialects", {})[prefix] = dialect


def render_routing_error(app: Flask, error: NovellaError) -> Response | None:
    """Return what no row of a URL table takes (404, 405) in its dialect's form.

    None when the path is of no dialect.
    """
    dialects: dict[str, Dialect] = app.extensions.get("novella_dialects", {})
    for prefix, dialect in dialects.items():
        if request.path == prefix or request.path.startswith(prefix + "/"):
            request_id = access.request_id()
            reply = dialect.render_fault(error, request_id)
            return _response(reply, request_id, dialect.version_headers((0, 0)))
    return None


def _refuse_not_built(call: Call, **_path: str) -> Reply:
    raise NotBuilt(
        f"{call.request.method} {call.request.path} is part of this API, but this release of "
        "Novella does not have it yet. See CHANGELOG.md for what is there."
    )


def _view(dialect: Dialect, route: Route, services: Services) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        request_id = access.request_id()
        version = (0, 0)
        try:
            version = dialect.negotiate(request)
            _check_address(request, path)
            reply = _answer(route, services, request_id, version, path)
        except NovellaError as error:
            _log_refusal(error)
            reply = dialect.render_fault(error, request_id)
            if error.retry_after_s is not None:
                reply.headers["Retry-After"] = str(error.retry_after_s)
        except Exception as error:
            _log_failure(services.db, error)
            reply = dialect.render_fault(_shown(error, request_id), request_id)
        if reply.status == 503:
            reply.headers.setdefault("Retry-After", RETRY_AFTER_S)
        if reply.status >= 400:
            _discard_body()
        return _response(reply, request_id, dialect.version_headers(version))

    return view


def _check_address(incoming: Request, path: Mapping[str, str]) -> None:
    """Refuse a path or query that no database could be asked for, or that asks for too much.

    PostgreSQL takes no NUL. A condition for each of very many parameters is deeper than databases
    let a statement be.
    """
    if any("\x00" in value for value in path.values()):
        raise NotFound("There is nothing whose id or name has a NUL character. Check it.")
    count = 0
    for name, value in incoming.args.items(multi=True):
        count += 1
        if "\x00" in name or "\x00" in value:
            raise BadRequest(f"Query parameter {name!r} has a NUL character. Leave it out.")
    if count > PARAMETERS_MAX:
        raise BadRequest(
            f"The query has {count} parameters; at most {PARAMETERS_MAX} are read. Send several "
            "requests."
        )


def _discard_body() -> None:
    """Read what is left of a refused body, within bounds, and forget it.

    A client that is still sending when the connection closes sees a broken pipe instead of why.
    """
    left = min(request.content_length or 0, DISCARDED_BYTES_MAX)
    end = time.monotonic() + DISCARDING_S_MAX
    with contextlib.suppress(OSError, ClientDisconnected):
        while left > 0 and time.monotonic() < end:
            chunk = request.stream.read(min(left, 1 << 20))
            if not chunk:
                return
            left -= len(chunk)


def _shown(error: Exception, request_id: str) -> NovellaError:
    """The fault that a tenant sees instead of a traceback."""
    if isinstance(error, IntegrityError | StaleDataError):
        # Two requests that both looked before the other wrote; the database let one through, or one
        # changes what the other has deleted.
        return ConcurrentUpdate(
            "Somebody else changed the same thing just now. Look how it is, and try again."
        )
    if failures.refuses_value(error):
        return BadRequest(
            "A value in the request is larger, or of another kind, than can be kept or looked for."
        )
    if failures.is_away(error):
        return Unavailable(
            "The cloud's database is away, or too busy. Look whether a change that you asked for "
            f"was made, and try again in {RETRY_AFTER_S} s; if it stays, tell your operator the "
            f"request id {request_id}."
        )
    return NovellaError(
        "Something went wrong on our side. Try again; if it stays, tell your operator the request "
        f"id {request_id}."
    )


def _log_failure(db: Database, error: Exception) -> None:
    """Log what a handler did not expect: a traceback, unless it is the database's doing."""
    what = f"{request.method} {request.path}"
    if failures.is_away(error):
        db.outages.note(what, error)
    elif failures.breaks_rule_between_rows(error) or failures.refuses_value(error):
        log.info("%s: the database refused: %s", what, failures.said(error))
    elif isinstance(error, StaleDataError):
        log.info("%s: what it was to change was deleted meanwhile", what)
    else:
        log.exception("%s failed", what)


def _log_refusal(error: NovellaError) -> None:
    level = logging.WARNING if error.status >= 500 else logging.INFO
    log.log(
        level, "%s %s: %d %s", request.method, request.path, error.status, error.message,
        extra={"details": error.details},
    )  # fmt: skip


def _answer(
    route: Route,
    services: Services,
    request_id: str,
    version: tuple[int, int],
    path: dict[str, str],
) -> Reply:
    body = None if route.raw_body else _body(route, services.settings)
    context = _context(route, services, request_id)
    if route.policy:
        services.policy.authorize(route.policy, context)
    if route.schema is not None:
        check(body, route.schema, version)

    if not _is_dry_run(route):
        return _handle(route, services, context, body, version, path)
    trial = dry_runs.Trial.on(services.db)
    _handle(route, replace(services, db=trial.db), context, body, version, path)
    root = origin.root(request, services.settings)
    answer, location = trial.accept(services.db, services.settings, context, root)
    return Reply(answer, status=202, headers={"Location": location})


def _is_dry_run(route: Route) -> bool:
    """Whether the present request is to be tried out. A log-in, and what only reads, may say so."""
    if route.policy is None or route.method in ("GET", "HEAD") or not dry_runs.is_asked(request):
        return False
    if not route.dry_run:
        raise dry_runs.refuse(f"{request.method} {request.path}")
    return True


def _handle(
    route: Route,
    services: Services,
    context: Context,
    body: Any,
    version: tuple[int, int],
    path: Mapping[str, str],
) -> Reply:
    def handle(session: Session) -> Reply:
        # A copy: the transaction, and so the handler, may have to start over.
        call = Call(request, services, context, session, copy.deepcopy(body), version)
        return route.handler(call, **path)

    if route.mode == "write":
        return services.db.run(handle)
    with services.db.read() as session:
        return handle(session)


def _context(route: Route, services: Services, request_id: str) -> Context:
    if route.policy is None:
        return Context(request_id)
    with services.db.read() as session:
        context = services.authenticate(session, request.headers.get("X-Auth-Token"), request_id)
    access.note_caller(context)
    return context


def _body(route: Route, settings: Settings) -> Any:
    """Return the JSON of the request, None when there is none."""
    limit = route.max_body_bytes or settings.max_body_bytes
    if (request.content_length or 0) > limit:
        raise TooLarge(f"The request has {request.content_length} bytes; at most {limit} are read.")
    try:
        raw = request.stream.read(limit + 1) if route.method not in ("GET", "HEAD") else b""
    except (OSError, ClientDisconnected) as error:
        raise BadRequest(
            "The request's body broke off, or came too slowly. Send it again."
        ) from error
    if len(raw) > limit:
        raise TooLarge(f"The request has more than {limit} bytes, which is all that is read.")
    if not raw:
        return None
    if request.mimetype and not _is_json(request.mimetype):
        raise UnsupportedMediaType(
            f"The request's Content-Type is {request.mimetype}; send application/json."
        )
    return parse_json(raw)


def _is_json(mimetype: str) -> bool:
    return mimetype == "application/json" or mimetype.endswith("+json") or "json" in mimetype


def _response(reply: Reply, request_id: str, headers: Mapping[str, str]) -> Response:
    response = reply.response
    if response is None:
        # Views are made anew for each answer and lead nowhere back; to look for that costs.
        payload = (
            b"" if reply.body is None else json.dumps(reply.body, check_circular=False).encode()
        )
        response = Response(payload, status=reply.status)
        if reply.body is None:
            response.headers.pop("Content-Type", None)
        else:
            response.headers["Content-Type"] = "application/json"
    response.headers.extend(reply.headers)
    response.headers.extend(headers)
    response.headers["x-openstack-request-id"] = request_id
    return response
