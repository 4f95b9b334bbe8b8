"""The version documents, which need no token."""

from typing import Any

from controller.api.common.calls import Call, Reply
from controller.api.compute.links import base
from controller.api.compute.microversions import FIRST, LAST, text


def list_versions(call: Call) -> Reply:
    return Reply({"versions": [_version(call)]})


def show_version(call: Call) -> Reply:
    document = _version(call)
    document["links"].append(
        {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"}
    )
    document["media-types"] = [
        {
            "base": "application/json",
            "type": "application/vnd.openstack.compute+json;version=2.1",
        }
    ]
    return Reply({"version": document})


def _version(call: Call) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": text(LAST),
        "min_version": text(FIRST),
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{base(call)}/"}],
    }
