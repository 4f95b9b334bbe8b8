"""The password that a guest posted, encrypted by the key pair that its server was made with."""

from controller.api.common.calls import Call, Reply
from controller.core import posted_passwords, servers


def show_password(call: Call, server_id: str) -> Reply:
    server = servers.get(call.session, call.context, server_id)
    return Reply({"password": server.posted_password or ""})


def clear_password(call: Call, server_id: str) -> Reply:
    server = servers.get(call.session, call.context, server_id, lock=True)
    posted_passwords.clear(call.session, call.settings, call.context, server)
    return Reply(status=204)
