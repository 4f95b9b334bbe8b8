"""Policy through oslo.policy: rules with upstream's names, `admin`, `member` and `reader` inside.

Each dialect's `policies.py` lists its rules as `Rule(name, check)`. An operator's policy file
(setting `policy_file`) overrides any of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_policy import _checks, policy

from controller.core.context import Context
from controller.errors import BadRequest, Forbidden
from controller.settings import Settings

ADMIN = "rule:is_admin"
# member and reader are implied downward: an admin is a member, a member is a reader.
MEMBER = "rule:is_admin or (role:member and project_id:%(project_id)s)"
READER = "rule:is_admin or ((role:member or role:reader) and project_id:%(project_id)s)"
ANYONE = "@"


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    check: str


class Policy:
    """The rules of all dialects, and the questions asked of them."""

    def __init__(self, settings: Settings, rules: Iterable[Rule]) -> None:
        conf = cfg.ConfigOpts()
        conf([], project="novella", default_config_files=[], default_config_dirs=[])
        # With use_conf, oslo.policy looks into the machine's /etc, and again at each question.
        self.enforcer = policy.Enforcer(conf, use_conf=False)
        # Kinds of checks from entry points (`http:`), which only an operator's file may name: they
        # come with `requests` and all that it needs, 3 MB in each process.
        _checks.extension_checks = None if settings.policy_file else {}
        defaults = [policy.RuleDefault("is_admin", "role:admin")]
        defaults += [policy.RuleDefault(rule.name, rule.check) for rule in rules]
        self.enforcer.register_defaults(defaults)
        in_force = {default.name: default.check for default in defaults}
        in_force |= _from_file(settings.policy_file)
        self.enforcer.set_rules(policy.Rules(in_force), overwrite=True, use_conf=False)

    def allows(self, rule: str, context: Context, target: Mapping[str, Any] | None = None) -> bool:
        """Whether `rule` allows it. Without a target, the caller's own things are meant."""
        return bool(
            self.enforcer.authorize(
                rule,
                dict(target) if target is not None else own(context),
                credentials(context),
                do_raise=False,
            )
        )

    def authorize(
        self, rule: str, context: Context, target: Mapping[str, Any] | None = None
    ) -> None:
        """Refuse with Forbidden unless `rule` allows it."""
        if not self.allows(rule, context, target):
            raise Forbidden(
                f"Policy doesn't allow {rule} to be performed by {context.user_name or 'you'} in "
                f"project {context.project_name or context.project_id}. Ask for the role it needs."
            )


def _from_file(path: str) -> dict[str, Any]:
    """Return the rules of an operator's file (YAML or JSON, name: check); none for no file."""
    if not path:
        return {}
    try:
        return dict(policy.Rules.load(Path(path).read_text()))
    except (OSError, ValueError) as error:
        raise BadRequest(f"Cannot read the policy file {path}: {error}. Mend it.") from error


# The project of a token that has none. oslo.policy compares as text, where None would be whoever
# names a project "None".
NO_PROJECT = ""


def own(context: Context) -> dict[str, Any]:
    """Return the target that stands for whatever is the caller's own."""
    return {"project_id": context.project_id or NO_PROJECT, "user_id": context.user_id}


def credentials(context: Context) -> dict[str, Any]:
    """Return the caller as oslo.policy's checks read it."""
    return {
        "user_id": context.user_id,
        "project_id": context.project_id or NO_PROJECT,
        "roles": sorted(context.roles),
        "system_scope": "all" if context.system_scope else None,
        "is_admin": context.is_admin,
    }
