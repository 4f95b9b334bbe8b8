"""The one place where a request's token is validated, for every service."""

from sqlalchemy.orm import Session

from controller.api.common.calls import Authenticator
from controller.core import tokens
from controller.core.context import Context
from controller.errors import Unauthorized
from controller.settings import Settings

MISSING = "The request you have made requires authentication: it carries no X-Auth-Token. Log in."


def authenticator(settings: Settings) -> Authenticator:
    """Return what turns a request's token into its Context, or refuses it with Unauthorized."""

    def authenticate(session: Session, token: str | None, request_id: str) -> Context:
        if not token:
            raise Unauthorized(MISSING)
        return context_of(tokens.holder(session, tokens.read(settings, token)), request_id)

    return authenticate


def context_of(holder: tokens.Holder, request_id: str) -> Context:
    """Return all that the services may see of a token: user, project and roles."""
    # An admin of one identity domain isn't the cloud's: outside of identity no service knows what
    # belongs to a domain, so the role would open everything.
    roles = holder.roles - {"admin"} if holder.domain else holder.roles
    project = holder.project
    return Context(
        request_id=request_id,
        user_id=holder.user.id,
        user_name=holder.user.name,
        user_domain_id=holder.user.domain_id,
        project_id=project.id if project else None,
        project_name=project.name if project else None,
        project_domain_id=project.domain_id if project else None,
        system_scope=holder.token.scope.kind == "system",
        roles=roles,
        is_admin="admin" in roles,
        token_audit_id=holder.token.audit_ids[0],
    )
