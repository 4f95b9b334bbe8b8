"""What is this API's own: how faults look. It has no microversions."""

from flask import Request

from controller.api.common.calls import Reply
from controller.errors import NovellaError


class NovellaDialect:
    name = "novella"

    def render_fault(self, error: NovellaError, _request_id: str) -> Reply:
        """Return {"error": {"code", "title", "message"}}."""
        fault = {"code": error.status, "title": error.title, "message": error.message}
        return Reply({"error": fault}, status=error.status)

    def negotiate(self, _incoming: Request) -> tuple[int, int]:
        return (0, 0)

    def version_headers(self, _version: tuple[int, int]) -> dict[str, str]:
        return {}
