"""Identity v3 in one table."""

from flask import Blueprint

from controller.api.common.calls import Route, Services, build_blueprint
from controller.api.identity import (
    auth,
    catalog,
    domains,
    grants,
    projects,
    roles,
    schemas,
    users,
    versions,
)
from controller.api.identity.dialect import IdentityDialect
from controller.api.identity.policies import HANDLER_ASKS


def _grants(kind: str, where: str, of_system: str) -> list[Route]:
    """Return the rows of a user's roles on targets of `kind`, whose path is `where`."""
    path = f"{where}/users/<user_id>/roles"
    row = f"{path}/<role_id>"
    rule = f"identity:{{}}_{of_system}grant{'_for_user' if of_system else ''}"
    list_rule = f"identity:list_{of_system}grants{'_for_user' if of_system else ''}"
    return [
        Route("GET", path, grants.list_of(kind), list_rule),
        Route("GET", row, grants.check_of(kind), rule.format("check")),
        Route("PUT", row, grants.create_of(kind), rule.format("create")),
        Route("DELETE", row, grants.revoke_of(kind), rule.format("revoke")),
    ]


# Of those who have no token yet, less is read and looked at.
ANYBODYS_BODY_MAX = 64 << 10

# GET rows answer HEAD too.
ROUTES = [
    Route("GET", "/", versions.list_versions, None),
    Route("GET", "/v3", versions.show_version, None),
    Route("POST", "/v3/auth/tokens", auth.create_token, None, schemas.AUTHENTICATE, "own",
          max_body_bytes=ANYBODYS_BODY_MAX),
    Route("GET", "/v3/auth/tokens", auth.show_token, HANDLER_ASKS),
    Route("DELETE", "/v3/auth/tokens", auth.revoke_token, HANDLER_ASKS),
    Route("GET", "/v3/auth/catalog", auth.show_catalog, "identity:get_auth_catalog"),
    Route("GET", "/v3/auth/projects", auth.list_projects, "identity:get_auth_projects"),
    Route("GET", "/v3/auth/domains", auth.list_domains, "identity:get_auth_domains"),
    Route("GET", "/v3/auth/system", auth.list_system, "identity:get_auth_system"),
    Route("GET", "/v3/projects", projects.list_projects, "identity:list_projects"),
    Route("POST", "/v3/projects", projects.create_project, "identity:create_project",
          schemas.CREATE_PROJECT),
    Route("GET", "/v3/projects/<project_id>", projects.show_project, HANDLER_ASKS),
    Route("PATCH", "/v3/projects/<project_id>", projects.update_project, "identity:update_project",
          schemas.UPDATE_PROJECT),
    Route("DELETE", "/v3/projects/<project_id>", projects.delete_project,
          "identity:delete_project"),
    Route("GET", "/v3/users", users.list_users, "identity:list_users"),
    Route("POST", "/v3/users", users.create_user, "identity:create_user", schemas.CREATE_USER,
          "own"),
    Route("GET", "/v3/users/<user_id>", users.show_user, HANDLER_ASKS),
    Route("PATCH", "/v3/users/<user_id>", users.update_user, "identity:update_user",
          schemas.UPDATE_USER, "own"),
    Route("DELETE", "/v3/users/<user_id>", users.delete_user, "identity:delete_user"),
    Route("POST", "/v3/users/<user_id>/password", users.change_password, None,
          schemas.CHANGE_PASSWORD, "own", max_body_bytes=ANYBODYS_BODY_MAX),
    Route("GET", "/v3/users/<user_id>/projects", users.list_projects, HANDLER_ASKS),
    Route("GET", "/v3/domains", domains.list_domains, "identity:list_domains"),
    Route("POST", "/v3/domains", domains.create_domain, "identity:create_domain",
          schemas.CREATE_DOMAIN),
    Route("GET", "/v3/domains/<domain_id>", domains.show_domain, "identity:get_domain"),
    Route("PATCH", "/v3/domains/<domain_id>", domains.update_domain, "identity:update_domain",
          schemas.UPDATE_DOMAIN),
    Route("DELETE", "/v3/domains/<domain_id>", domains.delete_domain, "identity:delete_domain"),
    Route("GET", "/v3/roles", roles.list_roles, "identity:list_roles"),
    Route("POST", "/v3/roles", roles.create_role, "identity:create_role", schemas.CREATE_ROLE),
    Route("GET", "/v3/roles/<role_id>", roles.show_role, "identity:get_role"),
    Route("PATCH", "/v3/roles/<role_id>", roles.update_role, "identity:update_role",
          schemas.UPDATE_ROLE),
    Route("DELETE", "/v3/roles/<role_id>", roles.delete_role, "identity:delete_role"),
    Route("GET", "/v3/role_assignments", grants.list_assignments, HANDLER_ASKS),
    *_grants("project", "/v3/projects/<target_id>", ""),
    *_grants("domain", "/v3/domains/<target_id>", ""),
    *_grants("system", "/v3/system", "system_"),
    Route("GET", "/v3/services", catalog.list_services, "identity:list_services"),
    Route("GET", "/v3/services/<service_id>", catalog.show_service, "identity:get_service"),
    Route("GET", "/v3/endpoints", catalog.list_endpoints, "identity:list_endpoints"),
    Route("GET", "/v3/endpoints/<endpoint_id>", catalog.show_endpoint, "identity:get_endpoint"),
    Route("GET", "/v3/regions", catalog.list_regions, "identity:list_regions"),
    Route("GET", "/v3/regions/<region_id>", catalog.show_region, "identity:get_region"),
]  # fmt: skip

_APPLICATION_CREDENTIALS = "/v3/users/<user_id>/application_credentials"
_EC2 = "/v3/users/<user_id>/credentials/OS-EC2"
_LIMITS = [
    row
    for noun in ("limits", "registered_limits")
    for row in (
        ("GET,POST", f"/v3/{noun}"),
        ("GET,PATCH,DELETE", f"/v3/{noun}/<limit_id>"),
    )
]
NOT_BUILT = [
    ("POST", "/v3/services"),
    ("PATCH,DELETE", "/v3/services/<service_id>"),
    ("POST", "/v3/endpoints"),
    ("PATCH,DELETE", "/v3/endpoints/<endpoint_id>"),
    ("POST", "/v3/regions"),
    ("PATCH,DELETE", "/v3/regions/<region_id>"),
    ("GET,POST", "/v3/groups"),
    ("GET,PATCH,DELETE", "/v3/groups/<group_id>"),
    ("GET", "/v3/groups/<group_id>/users"),
    ("GET,PUT,DELETE", "/v3/groups/<group_id>/users/<user_id>"),
    ("GET", "/v3/users/<user_id>/groups"),
    ("GET", "/v3/<any(projects, domains):kind>/<target_id>/groups/<group_id>/roles"),
    ("GET,PUT,DELETE",
     "/v3/<any(projects, domains):kind>/<target_id>/groups/<group_id>/roles/<role_id>"),
    ("GET", "/v3/system/groups/<group_id>/roles"),
    ("GET,PUT,DELETE", "/v3/system/groups/<group_id>/roles/<role_id>"),
    ("GET,POST", _APPLICATION_CREDENTIALS),
    ("GET,DELETE", f"{_APPLICATION_CREDENTIALS}/<credential_id>"),
    ("GET,POST", _EC2),
    ("GET,DELETE", f"{_EC2}/<credential_id>"),
    ("GET,POST", "/v3/credentials"),
    ("GET,PATCH,DELETE", "/v3/credentials/<credential_id>"),
    ("POST", "/v3/ec2tokens"),
    *_LIMITS,
    ("GET", "/v3/limits/model"),
    ("GET", "/v3/role_inferences"),
    ("GET", "/v3/roles/<role_id>/implies"),
    ("GET,PUT,DELETE", "/v3/roles/<role_id>/implies/<implied_id>"),
    ("GET,PUT,DELETE", "/v3/projects/<project_id>/tags"),
    ("GET,PUT,DELETE", "/v3/projects/<project_id>/tags/<tag>"),
]  # fmt: skip


def blueprint(services: Services, prefix: str) -> Blueprint:
    """Return Identity v3 below `prefix`."""
    dialect = IdentityDialect(lambda: services.settings)
    return build_blueprint(dialect, ROUTES, services, prefix, NOT_BUILT)
