"""Who may do what in Novella's own API."""

from controller.api.common.policy import ADMIN, READER, Rule

SHOW_HOST = "novella_api:hosts:show"
FENCE_HOST = "novella_api:hosts:fence"
DRAIN_HOST = "novella_api:hosts:drain"
SHOW = "novella_api:operations:show"
DETAILS = "novella_api:operations:show:details"

RULES: list[Rule] = [
    Rule(SHOW_HOST, ADMIN),
    Rule(FENCE_HOST, ADMIN),
    Rule(DRAIN_HOST, ADMIN),
    Rule(SHOW, READER),
    # Hosts, plays and what they said.
    Rule(DETAILS, ADMIN),
]
