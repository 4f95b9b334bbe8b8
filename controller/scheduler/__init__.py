"""The scheduler: which hosts can take a server, best first."""
