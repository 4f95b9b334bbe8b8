"""What is Identity v3's own: how faults look, which versions there are."""

from collections.abc import Callable
from typing import Any

from flask import Request, request

from controller.api.common import origin
from controller.api.common.calls import Reply
from controller.errors import NovellaError, Unauthorized
from controller.settings import Settings


class IdentityDialect:
    name = "identity"

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings

    def render_fault(self, error: NovellaError, _request_id: str) -> Reply:
        """Return Keystone's form: `{"error": {"code", "message", "title"}}`."""
        reply = Reply(
            {"error": {"code": error.status, "message": error.message, "title": error.title}},
            error.status,
        )
        if isinstance(error, Unauthorized):
            root = origin.root(request, self._settings())
            reply.headers["WWW-Authenticate"] = f'Keystone uri="{root}/identity/v3"'
        return reply

    def negotiate(self, _incoming: Request) -> tuple[int, int]:
        return (0, 0)

    def version_headers(self, _version: tuple[int, int]) -> dict[str, str]:
        return {"Vary": "X-Auth-Token"}


def version_document(endpoint: str) -> dict[str, Any]:
    """Return v3 as discovery shows it; `endpoint` is the cloud's root address."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{endpoint}/identity/v3/"}],
        "media-types": [
            {
                "base": "application/json",
                "type": "application/vnd.openstack.identity-v3+json",
            }
        ],
    }
