"""Who may do what in Novella's own API."""

from controller.api.common.policy import ADMIN, Rule

SHOW_HOST = "novella_api:hosts:show"
FENCE_HOST = "novella_api:hosts:fence"
DRAIN_HOST = "novella_api:hosts:drain"

RULES: list[Rule] = [
    Rule(SHOW_HOST, ADMIN),
    Rule(FENCE_HOST, ADMIN),
    Rule(DRAIN_HOST, ADMIN),
]
