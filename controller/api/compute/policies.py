"""Nothing yet."""

from controller.api.common.policy import Rule

RULES: list[Rule] = []
