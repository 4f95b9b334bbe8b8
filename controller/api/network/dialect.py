"""What is Network v2.0's own: how faults look."""

from collections.abc import Callable

from flask import Request, request

from controller.api.common import origin
from controller.api.common.calls import Reply
from controller.core import network_faults
from controller.errors import Forbidden, NovellaError, Unauthorized
from controller.settings import Settings


class NetworkDialect:
    name = "network"

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    def render_fault(self, error: NovellaError, _request_id: str) -> Reply:
        """Return Neutron's form: `{"NeutronError": {"type", "message", "detail"}}`."""
        fault = {"type": fault_type(error), "message": error.message, "detail": ""}
        reply = Reply({"NeutronError": fault}, error.status)
        if isinstance(error, Unauthorized):
            root = origin.root(request, self._settings())
            reply.headers["WWW-Authenticate"] = f'Keystone uri="{root}/identity/v3"'
        return reply

    def negotiate(self, _incoming: Request) -> tuple[int, int]:
        return (0, 0)

    def version_headers(self, _version: tuple[int, int]) -> dict[str, str]:
        return {}


def fault_type(error: NovellaError) -> str:
    """Return Neutron's name for the cause: the class's own where it is one of the networks'."""
    if isinstance(error, network_faults.BadNetworkRequest):
        return "BadRequest"
    if type(error).__module__ == network_faults.__name__:
        return type(error).__name__
    if isinstance(error, Forbidden):
        return "PolicyNotAuthorized"
    return "HTTP" + error.title.replace(" ", "")
