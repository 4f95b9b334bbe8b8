"""Who asks: what every service is told of a request, and all that it may see of a token."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Context:
    """The user, project and roles of a request.

    `project_id` is None for an unscoped token. `is_admin` follows the policy rule `is_admin`.
    """

    request_id: str
    user_id: str = ""
    user_name: str = ""
    user_domain_id: str = "default"
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    system_scope: bool = False
    roles: frozenset[str] = field(default_factory=frozenset)
    is_admin: bool = False
    token_audit_id: str = ""

    @property
    def project(self) -> str:
        """The project's id; for calls whose policy already demanded a project."""
        assert self.project_id is not None  # noqa: S101 -- a programming error, not a refusal
        return self.project_id

    def may_see(self, project_id: str) -> bool:
        """Whether a resource of `project_id` exists, as far as this caller is told."""
        return self.is_admin or project_id == self.project_id
