"""What is the compute API's own: its faults, and how a microversion is agreed on."""

import re

from flask import Request

from controller.api.common.calls import Reply
from controller.api.compute.microversions import FIRST, LAST, Version, text
from controller.errors import BadRequest, NotAcceptable, NovellaError

HEADER = "OpenStack-API-Version"
LEGACY_HEADER = "X-OpenStack-Nova-API-Version"

# Nova's names of faults; any other status is a computeFault.
FAULT_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


class ComputeDialect:
    name = "compute"

    def render_fault(self, error: NovellaError, request_id: str) -> Reply:
        """Return {"itemNotFound": {"code": 404, "message": ...}} and the like."""
        fault: dict[str, object] = {"code": error.status, "message": error.message}
        headers = {"x-compute-request-id": request_id}
        if error.retry_after_s is not None:
            fault["retryAfter"] = str(error.retry_after_s)
        name = FAULT_NAMES.get(error.status, "computeFault")
        return Reply({name: fault}, status=error.status, headers=headers)

    def negotiate(self, incoming: Request) -> Version:
        asked = _asked(incoming)
        if asked is None:
            return FIRST
        if asked == "latest":
            return LAST
        if not re.fullmatch(r"([1-9][0-9]*)\.(0|[1-9][0-9]*)", asked, re.ASCII):
            raise BadRequest(
                f"API Version String {asked} is of invalid format. Must be of format "
                "MajorNum.MinorNum."
            )
        major, minor = asked.split(".")
        version = (int(major[:6]), int(minor[:6]))
        if not FIRST <= version <= LAST:
            raise NotAcceptable(
                f"Version {asked} is not supported by the API. Minimum is {text(FIRST)} and "
                f"maximum is {text(LAST)}."
            )
        return version

    def version_headers(self, version: Version) -> dict[str, str]:
        headers = {"Vary": f"{HEADER}, {LEGACY_HEADER}"}
        if version >= FIRST:
            headers[HEADER] = f"compute {text(version)}"
            headers[LEGACY_HEADER] = text(version)
        return headers


def _asked(incoming: Request) -> str | None:
    """Return the version that the headers name for compute; the newer header wins."""
    # One header may hold several services' versions: "compute 2.96, volume 3.60".
    for part in incoming.headers.get(HEADER, "").split(","):
        words = part.split()
        if len(words) == 2 and words[0].lower() in ("compute", "nova"):
            return words[1].lower()
    legacy = incoming.headers.get(LEGACY_HEADER)
    return legacy.strip().lower() if legacy else None
