"""Who may do what in Identity: Keystone's rule names."""

from controller.api.common.policy import ADMIN, ANYONE, Rule

SYSTEM_READER = f"{ADMIN} or (role:reader and system_scope:all)"
OWN_USER = f"{SYSTEM_READER} or user_id:%(user_id)s"
OWN_PROJECT = f"{SYSTEM_READER} or project_id:%(project_id)s"

# For calls of which the handler asks the real rule, with what it is about as the target.
HANDLER_ASKS = "identity:authenticated"


def _noun(singular: str, plural: str, get: str = SYSTEM_READER) -> list[Rule]:
    """Return the five rules of a noun; all but `get` are an operator's."""
    return [
        Rule(f"identity:get_{singular}", get),
        Rule(f"identity:list_{plural}", SYSTEM_READER),
        Rule(f"identity:create_{singular}", ADMIN),
        Rule(f"identity:update_{singular}", ADMIN),
        Rule(f"identity:delete_{singular}", ADMIN),
    ]


RULES: list[Rule] = [
    Rule(HANDLER_ASKS, ANYONE),
    Rule("identity:validate_token", OWN_USER),
    Rule("identity:revoke_token", f"{ADMIN} or user_id:%(user_id)s"),
    Rule("identity:get_auth_catalog", ANYONE),
    Rule("identity:get_auth_projects", ANYONE),
    Rule("identity:get_auth_domains", ANYONE),
    Rule("identity:get_auth_system", ANYONE),
    *_noun("project", "projects", OWN_PROJECT),
    Rule("identity:list_user_projects", OWN_USER),
    *_noun("user", "users", OWN_USER),
    *_noun("role", "roles"),
    *_noun("domain", "domains", SYSTEM_READER),
    *_noun("service", "services"),
    *_noun("endpoint", "endpoints"),
    *_noun("region", "regions", ANYONE),
    Rule("identity:list_role_assignments", OWN_USER),
    Rule("identity:check_grant", SYSTEM_READER),
    Rule("identity:list_grants", SYSTEM_READER),
    Rule("identity:create_grant", ADMIN),
    Rule("identity:revoke_grant", ADMIN),
    Rule("identity:check_system_grant_for_user", SYSTEM_READER),
    Rule("identity:list_system_grants_for_user", SYSTEM_READER),
    Rule("identity:create_system_grant_for_user", ADMIN),
    Rule("identity:revoke_system_grant_for_user", ADMIN),
]
