"""What is Network v2.0's own: how faults look."""

from flask import Request

from controller.api.common.calls import Reply
from controller.core import network_faults
from controller.errors import Forbidden, NovellaError, Unauthorized


class NetworkDialect:
    name = "network"

    def __init__(self, identity_url: str) -> None:
        self.identity_url = identity_url

    def render_fault(self, error: NovellaError, _request_id: str) -> Reply:
        """Return Neutron's form: `{"NeutronError": {"type", "message", "detail"}}`."""
        fault = {"type": fault_type(error), "message": error.message, "detail": ""}
        reply = Reply({"NeutronError": fault}, error.status)
        if isinstance(error, Unauthorized):
            reply.headers["WWW-Authenticate"] = f'Keystone uri="{self.identity_url}"'
        return reply

    def negotiate(self, _incoming: Request) -> tuple[int, int]:
        return (0, 0)

    def version_headers(self, _version: tuple[int, int]) -> dict[str, str]:
        return {}


def fault_type(error: NovellaError) -> str:
    """Return Neutron's name for the cause: the class's own where it is one of the networks'."""
    if type(error).__module__ == network_faults.__name__:
        return type(error).__name__
    if isinstance(error, Forbidden):
        return "PolicyNotAuthorized"
    return "HTTP" + error.title.replace(" ", "")
