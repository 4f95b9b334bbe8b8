"""Who may do what in Identity: Keystone's rule names."""

from controller.api.common.policy import Rule

RULES: list[Rule] = []
