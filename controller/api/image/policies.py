"""Who may do what in Image: Glance's rule names."""

from controller.api.common.policy import Rule

RULES: list[Rule] = []
