"""addFloatingIp and removeFloatingIp, which Compute has to 2.43."""

from typing import Any

import pytest

from controller.db.models import Network
from tests.api.compute.conftest import SERVERS, at

V2 = "/network/v2.0"
LAST, FIRST_WITHOUT = at("2.43"), at("2.44")


def make(caller: Any, noun: str, **values: Any) -> Any:
    answer = caller.post(f"{V2}/{noun}s", json={noun: values})
    assert answer.status_code == 201, answer.text
    return answer.json[noun]


@pytest.fixture
def outside(admin: Any, alice: Any, server: str, network: Network) -> str:
    """An external network that alice's router leads to from the network of the server."""
    found = make(admin, "network", name="outside", **{"router:external": True})
    make(admin, "subnet", network_id=found["id"], cidr="10.92.0.0/24", enable_dhcp=False)
    router = make(admin, "router", external_gateway_info={"network_id": found["id"]})
    (subnet,) = admin.get(f"{V2}/subnets?network_id={network.id}").json["subnets"]
    path = f"{V2}/routers/{router['id']}/add_router_interface"
    assert admin.put(path, json={"subnet_id": subnet["id"]}).status_code == 200
    return str(found["id"])


def act(caller: Any, server: str, headers: Any = LAST, **body: Any) -> Any:
    return caller.post(f"{SERVERS}/{server}/action", json=body, headers=headers)


def addresses(caller: Any, server: str) -> list[tuple[str, str]]:
    """Return what the server shows, each with its kind."""
    shown = caller.get(f"{SERVERS}/{server}").json["server"]["addresses"]
    return [(each["OS-EXT-IPS:type"], each["addr"]) for held in shown.values() for each in held]


def test_a_floating_ip_comes_and_goes(alice: Any, server: str, outside: str) -> None:
    floating = make(alice, "floatingip", floating_network_id=outside)["floating_ip_address"]
    ((_, fixed),) = addresses(alice, server)
    answer = act(alice, server, addFloatingIp={"address": floating})
    assert (answer.status_code, answer.data) == (202, b"")
    assert addresses(alice, server) == [("fixed", fixed), ("floating", floating)]
    # Once more changes nothing.
    again = act(alice, server, addFloatingIp={"address": floating, "fixed_address": fixed})
    assert again.status_code == 202
    answer = act(alice, server, removeFloatingIp={"address": floating})
    assert (answer.status_code, answer.data) == (202, b"")
    assert addresses(alice, server) == [("fixed", fixed)]
    assert len(alice.get(f"{V2}/floatingips").json["floatingips"]) == 1


def test_they_end_with_2_43(alice: Any, server: str, outside: str) -> None:
    body = {
        "address": make(alice, "floatingip", floating_network_id=outside)["floating_ip_address"]
    }
    for name in ("addFloatingIp", "removeFloatingIp"):
        assert act(alice, server, FIRST_WITHOUT, **{name: body}).status_code == 404
    assert len(addresses(alice, server)) == 1


def test_what_is_refused(alice: Any, bob: Any, rita: Any, server: str, outside: str) -> None:
    own = make(alice, "floatingip", floating_network_id=outside)["floating_ip_address"]
    other = make(alice, "floatingip", floating_network_id=outside)["floating_ip_address"]
    theirs = make(bob, "floatingip", floating_network_id=outside)["floating_ip_address"]
    assert act(bob, server, addFloatingIp={"address": theirs}).status_code == 404
    assert act(rita, server, addFloatingIp={"address": own}).status_code == 403
    for body, status in (
        ({"address": theirs}, 404),
        ({"address": "10.92.0.250"}, 404),
        ({"address": own, "fixed_address": "10.91.9.9"}, 400),
        ({"address": own, "fixed_address": "fd00::1"}, 400),
        ({"address": "10.92.0.x"}, 400),
        ({"address": own, "more": 1}, 400),
        ({}, 400),
        (None, 400),
    ):
        assert act(alice, server, addFloatingIp=body).status_code == status, body
    assert len(addresses(alice, server)) == 1
    for body, status in (({"address": own}, 409), ({"address": theirs}, 404), ({}, 400)):
        assert act(alice, server, removeFloatingIp=body).status_code == status, body
    assert act(alice, server, addFloatingIp={"address": own}).status_code == 202
    taken = act(alice, server, addFloatingIp={"address": other})
    assert taken.status_code == 400
    assert "already has a floating IP" in taken.json["badRequest"]["message"]


def test_without_a_way_out_there_is_none(alice: Any, admin: Any, server: str) -> None:
    found = make(admin, "network", name="outside", **{"router:external": True})
    make(admin, "subnet", network_id=found["id"], cidr="10.92.0.0/24", enable_dhcp=False)
    floating = make(alice, "floatingip", floating_network_id=found["id"])["floating_ip_address"]
    answer = act(alice, server, addFloatingIp={"address": floating})
    assert answer.status_code == 400
    assert "is not reachable from subnet" in answer.json["badRequest"]["message"]
