"""The controller: the APIs, placement and scheduling, and the conductor that runs playbooks."""
