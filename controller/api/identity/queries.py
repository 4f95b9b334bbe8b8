"""Filters of lists, as Keystone reads them."""

from controller.api.common.calls import Call


def flag(call: Call, name: str) -> bool | None:
    """Return a yes-or-no filter; None when it isn't there. `?effective` alone means yes."""
    value = call.query.get(name)
    return None if value is None else value.lower() not in ("0", "false", "no", "off")
