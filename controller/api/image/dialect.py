"""What is Image v2's own: how faults look, which versions there are."""

from typing import Any

from flask import Request

from controller.api.common.calls import Call, Reply
from controller.errors import NovellaError

# Glance's minor versions say which calls are there; clients look only for v2.
VERSIONS = ("v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")


class ImageDialect:
    name = "image"

    def render_fault(self, error: NovellaError, _request_id: str) -> Reply:
        """Return the form that Glance gives to clients which take JSON."""
        body = {
            "message": error.message,
            "code": f"{error.status} {error.title}",
            "title": error.title,
        }
        return Reply(body, error.status)

    def negotiate(self, _incoming: Request) -> tuple[int, int]:
        return (0, 0)

    def version_headers(self, _version: tuple[int, int]) -> dict[str, str]:
        return {}


def _versions(call: Call) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{call.root}/image/v2/"}]
    return {
        "versions": [
            {"id": name, "status": "SUPPORTED" if index else "CURRENT", "links": links}
            for index, name in enumerate(VERSIONS)
        ]
    }


def choose_version(call: Call) -> Reply:
    """Answer 300 with all versions, as Glance does at its root."""
    return Reply(_versions(call), 300)


def list_versions(call: Call) -> Reply:
    return Reply(_versions(call))
