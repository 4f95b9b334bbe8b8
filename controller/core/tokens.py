"""Tokens: what one says, how it is written, and whether it still holds.

A token is a Fernet text (encrypted and signed) that names a user and a scope. It holds no roles:
these are read at each use, so that one taken away is gone at once. Nothing is stored for a token
until it is revoked.
"""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.fernet import InvalidToken
from sqlalchemy import and_, bindparam, delete, select
from sqlalchemy.orm import Session, aliased

from controller.core.roles import with_implied
from controller.db.base import utcnow
from controller.db.models import Domain, Project, RevokedToken, Role, RoleAssignment, User
from controller.errors import Unauthorized
from controller.keys import token_fernet
from controller.settings import Settings

FORMAT = 1
INVALID = "The token is not valid: it is unknown, has expired, or was revoked. Log in again."
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- times are naive UTC everywhere


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is for. `kind` is unscoped, project, domain or system (id 'all')."""

    kind: str = "unscoped"
    id: str = ""


UNSCOPED = Scope()
SYSTEM = Scope("system", "all")


@dataclass(frozen=True, slots=True)
class Token:
    """What the text says. `audit_ids` has its own id first, then that of the token it came from."""

    user_id: str
    scope: Scope
    methods: tuple[str, ...]
    audit_ids: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Domained:
    """A named thing of an identity domain."""

    id: str
    name: str
    domain_id: str
    domain_name: str


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a valid token, and what for. `roles` has the implied ones too."""

    token: Token
    user: Domained
    project: Domained | None
    # Of a token for a domain: (id, name).
    domain: tuple[str, str] | None
    roles: frozenset[str]


def issue(
    settings: Settings,
    user_id: str,
    scope: Scope,
    methods: tuple[str, ...],
    parent: Token | None = None,
) -> Token:
    """Return a new token. One that comes from `parent` expires with it."""
    now = utcnow()
    expires_at = parent.expires_at if parent else now + timedelta(seconds=settings.token_lifetime_s)
    audit_ids = (secrets.token_urlsafe(16), *(parent.audit_ids[-1:] if parent else ()))
    return Token(user_id, scope, methods, audit_ids, now, expires_at)


def write(settings: Settings, token: Token) -> str:
    """Return the text of `token` that clients send as X-Auth-Token."""
    content = [
        FORMAT,
        token.user_id,
        token.scope.kind,
        token.scope.id,
        token.methods,
        token.audit_ids,
        _microseconds(token.issued_at),
        _microseconds(token.expires_at),
    ]
    text = json.dumps(content, separators=(",", ":")).encode()
    return token_fernet(settings).encrypt(text).decode().rstrip("=")


def read(settings: Settings, text: str) -> Token:
    """Return what `text` says. Raises Unauthorized for what isn't ours or has expired."""
    # A length that no token of ours has is refused before any work is spent on it.
    if not text.isascii() or len(text) > 1000:
        raise Unauthorized(INVALID)
    try:
        content = json.loads(token_fernet(settings).decrypt(text + "=" * (-len(text) % 4)))
    except (InvalidToken, ValueError, TypeError) as error:
        raise Unauthorized(INVALID) from error
    if not isinstance(content, list) or len(content) != 8 or content[0] != FORMAT:
        raise Unauthorized(INVALID)
    _, user_id, kind, scope_id, methods, audit_ids, issued, expires = content
    token = Token(
        user_id,
        Scope(kind, scope_id),
        tuple(methods),
        tuple(audit_ids),
        _EPOCH + timedelta(microseconds=issued),
        _EPOCH + timedelta(microseconds=expires),
    )
    if token.expires_at <= utcnow():
        raise Unauthorized(INVALID)
    return token


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


_user_domain = aliased(Domain)
_scope_domain = aliased(Domain)

# Everything that makes a token hold, in one statement; a row for each role.
_HOLDER = (
    select(
        User.name,
        User.enabled,
        User.tokens_valid_from,
        User.domain_id,
        _user_domain.name.label("domain_name"),
        _user_domain.enabled.label("domain_enabled"),
        Project.name.label("project_name"),
        Project.enabled.label("project_enabled"),
        _scope_domain.id.label("scope_domain_id"),
        _scope_domain.name.label("scope_domain_name"),
        _scope_domain.enabled.label("scope_domain_enabled"),
        Role.name.label("role"),
        RevokedToken.audit_id.label("revoked"),
    )
    .join(_user_domain, _user_domain.id == User.domain_id)
    .outerjoin(Project, Project.id == bindparam("project_id"))
    .outerjoin(
        _scope_domain,
        (_scope_domain.id == Project.domain_id)
        | (_scope_domain.id == bindparam("scope_domain_id")),
    )
    .outerjoin(
        RoleAssignment,
        and_(
            RoleAssignment.user_id == User.id,
            RoleAssignment.target_type == bindparam("kind"),
            RoleAssignment.target_id == bindparam("target_id"),
        ),
    )
    .outerjoin(Role, Role.id == RoleAssignment.role_id)
    .outerjoin(RevokedToken, RevokedToken.audit_id == bindparam("audit_id"))
    .where(User.id == bindparam("user_id"))
)


def holder(session: Session, token: Token) -> Holder:
    """Return who holds `token`. Raises Unauthorized when it holds no longer.

    It doesn't when it was revoked, when user, project or domain are gone or disabled, when the
    password has changed since, or when the user has no role on its scope any more. One statement.
    """
    scope = token.scope
    rows = session.execute(
        _HOLDER,
        {
            "user_id": token.user_id,
            "project_id": scope.id if scope.kind == "project" else None,
            "scope_domain_id": scope.id if scope.kind == "domain" else None,
            "kind": scope.kind,
            "target_id": scope.id,
            "audit_id": token.audit_ids[0],
        },
    ).all()
    if not rows:
        raise Unauthorized(INVALID)
    row = rows[0]
    roles = with_implied(entry.role for entry in rows if entry.role)
    in_scope = scope.kind == "unscoped" or bool(roles)
    if scope.kind in ("project", "domain"):
        in_scope = in_scope and bool(row.scope_domain_enabled)
    if scope.kind == "project":
        in_scope = in_scope and bool(row.project_enabled)
    if (
        row.revoked
        or not row.enabled
        or not row.domain_enabled
        or token.issued_at < row.tokens_valid_from
        or not in_scope
    ):
        raise Unauthorized(INVALID)
    domain = (row.scope_domain_id, row.scope_domain_name)
    return Holder(
        token=token,
        user=Domained(token.user_id, row.name, row.domain_id, row.domain_name),
        project=Domained(scope.id, row.project_name, *domain) if scope.kind == "project" else None,
        domain=domain if scope.kind == "domain" else None,
        roles=roles,
    )


def revoke(session: Session, token: Token) -> None:
    """Make `token` void from now on. Rows of tokens that have expired by themselves are removed."""
    session.execute(delete(RevokedToken).where(RevokedToken.expires_at < utcnow()))
    if session.get(RevokedToken, token.audit_ids[0]) is None:
        session.add(RevokedToken(audit_id=token.audit_ids[0], expires_at=token.expires_at))
