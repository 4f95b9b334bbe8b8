"""`guest_password.py`, `guest_interrupt.py`: who takes orders, on libvirt's test driver."""

from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    guest_interrupt,
    guest_password,
    work,
)

# The domain that the driver always has; it bears no mark.
KNOWN = {"server_id": "6695eb01-f6a4-8304-79aa-97f2502e193f", "uri": "test:///default"}
ORDERS = [(guest_password, {"password": "s3cret"}), (guest_interrupt, {})]
EACH = pytest.mark.parametrize(("module", "params"), ORDERS)


@EACH
def test_a_check_sends_nothing(module: Any, params: dict[str, Any]) -> None:
    said = module.run({**KNOWN, **params, "override": True}, check_mode=True)
    assert said["changed"] is True
    assert "s3cret" not in str(said)


def test_a_password_that_no_agent_takes_is_not_told() -> None:
    # The driver has no agents.
    params = {**KNOWN, "password": "s3cret", "override": True}
    with pytest.raises(work.WorkError, match=r"libvirt code") as refused:
        guest_password.run(params, check_mode=False)
    assert "s3cret" not in str(refused.value)


def test_an_interrupt_is_sent() -> None:
    assert guest_interrupt.run({**KNOWN, "override": True}, check_mode=False)["changed"] is True


@EACH
def test_a_domain_without_our_mark_gets_no_orders(module: Any, params: dict[str, Any]) -> None:
    with pytest.raises(work.WorkError, match=r"bears no mark of Novella"):
        module.run({**KNOWN, **params}, check_mode=False)


@EACH
def test_a_server_that_is_not_here_gets_none(module: Any, params: dict[str, Any]) -> None:
    gone = {**KNOWN, "server_id": "6695eb01-f6a4-8304-79aa-97f2502e1930"}
    with pytest.raises(work.WorkError, match=r"has no domain on this host"):
        module.run({**gone, **params, "override": True}, check_mode=False)


@pytest.mark.parametrize("user", ["a b", "root:x", "a/b", "x" * 65, "a\nb"])
def test_a_user_has_the_form_of_one(user: str) -> None:
    params = {**KNOWN, "password": "x", "user": user, "override": True}
    with pytest.raises(work.WorkError, match=r"it is no user's name"):
        guest_password.run(params, check_mode=True)
