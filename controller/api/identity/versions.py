"""Version discovery, which clients ask for first and without a token."""

from controller.api.common.calls import Call, Reply
from controller.api.identity.dialect import version_document


def list_versions(call: Call) -> Reply:
    """Answer 300 with all versions, as Keystone does at its root."""
    return Reply({"versions": {"values": [version_document(call.root)]}}, 300)


def show_version(call: Call) -> Reply:
    return Reply({"version": version_document(call.root)})
