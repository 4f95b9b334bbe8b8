"""Log-in and tokens: /v3/auth."""

from collections.abc import Mapping
from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.identity import views
from controller.core import identity_domains, logins, projects, roles, scopes, tokens
from controller.core.catalog import endpoints
from controller.core.role_assignments import Target, list_assignments
from controller.db.models import User
from controller.errors import NotBuilt, NotFound, Unauthorized

LATER = ("application_credential", "totp", "oauth1", "oauth2_credential", "mapped", "saml2")


def create_token(call: Call) -> Reply:
    """Log in by password or token, and answer 201 with the token in X-Subject-Token."""
    auth = call.body["auth"]
    identity = auth["identity"]
    methods = tuple(dict.fromkeys(identity["methods"]))
    for method in methods:
        _check_method(method, identity)
    user: User | None = None
    parent: tokens.Token | None = None
    if "token" in methods:
        parent, user = _by_token(call, identity["token"]["id"])
        methods = tuple(dict.fromkeys((*parent.methods, *methods)))
    if "password" in methods and "password" in identity["methods"]:
        known = _by_password(call, identity["password"]["user"])
        if user is not None and user.id != known.id:
            raise Unauthorized("The methods of this log-in name different users. Name one.")
        user = known
    assert user is not None  # noqa: S101 -- the schema wants a method, _check_method knows all
    with call.services.db.read() as session:
        asked = auth.get("scope")
        scope = scopes.requested(session, user, asked)
        token = tokens.issue(call.settings, user.id, scope, methods, parent)
        try:
            holder = tokens.holder(session, token)
        except Unauthorized as error:
            raise Unauthorized(scopes.REFUSED) from error
        reply = _show(call, session, holder)
    reply.status = 201
    reply.headers["X-Subject-Token"] = tokens.write(call.settings, token)
    return reply


def _check_method(method: str, identity: Mapping[str, Any]) -> None:
    if method in LATER:
        raise NotBuilt(f"Log-in by {method} is not built yet. Use password or token.")
    if method not in ("password", "token"):
        raise Unauthorized(f"Unknown method {method!r} of logging in. Use password or token.")
    if method not in identity:
        raise Unauthorized(f"The log-in says method {method!r} but has no {method!r} part.")


def _by_password(call: Call, named: Mapping[str, Any]) -> User:
    domain = named.get("domain", {})
    with call.services.db.read() as session:
        user = logins.find_user(
            session, named.get("id"), named.get("name"), domain.get("id"), domain.get("name")
        )
    text = "/".join(str(named.get(key)) for key in ("id", "name")) + f"@{sorted(domain.items())}"
    return logins.check_password(
        call.services.db,
        call.settings,
        user,
        text,
        named["password"],
        call.address,
    )


def _by_token(call: Call, text: str) -> tuple[tokens.Token, User]:
    token = tokens.read(call.settings, text)
    with call.services.db.read() as session:
        tokens.holder(session, token)
        user = session.get(User, token.user_id)
    if user is None:
        raise Unauthorized(tokens.INVALID)
    return token, user


def _show(call: Call, session: Any, holder: tokens.Holder) -> Reply:
    known = roles.list_named(session, holder.roles) if holder.roles else []
    listed = None if "nocatalog" in call.query else endpoints(call.settings, call.root)
    return Reply(views.token(holder, known, listed))


def _subject(call: Call, rule: str) -> tuple[str, tokens.Holder]:
    """Return the token that the call is about. Raises NotFound unless it is valid."""
    text = call.request.headers.get("X-Subject-Token")
    if not text:
        raise NotFound("The call needs a header X-Subject-Token, with the token that it is about.")
    try:
        holder = tokens.holder(call.session, tokens.read(call.settings, text))
    except Unauthorized as error:
        raise NotFound("The token in X-Subject-Token is not valid (any more).") from error
    call.authorize(rule, {"user_id": holder.user.id})
    return text, holder


def show_token(call: Call) -> Reply:
    """Validate a token. Also answers HEAD."""
    text, holder = _subject(call, "identity:validate_token")
    reply = _show(call, call.session, holder)
    reply.headers["X-Subject-Token"] = text
    return reply


def revoke_token(call: Call) -> Reply:
    _, holder = _subject(call, "identity:revoke_token")
    tokens.revoke(call.session, holder.token)
    return Reply(status=204)


def show_catalog(call: Call) -> Reply:
    return views.page(call, "catalog", views.catalog(endpoints(call.settings, call.root)))


def list_projects(call: Call) -> Reply:
    """List what the caller can have a token for."""
    found = projects.list_of_user(call.session, call.context.user_id, usable=True)
    return views.page(call, "projects", [views.project(call, row) for row in found])


def list_domains(call: Call) -> Reply:
    given = list_assignments(call.session, user_id=call.context.user_id)
    ids = {entry.target.id for entry in given if entry.target.type == "domain"}
    rows = [
        row for row in identity_domains.list_domains(call.session, enabled=True) if row.id in ids
    ]
    return views.page(call, "domains", [views.domain(call, row) for row in rows])


def list_system(call: Call) -> Reply:
    target = Target("system", "all")
    given = list_assignments(call.session, user_id=call.context.user_id, target=target)
    return views.page(call, "system", [{"all": True}] if given else [])
