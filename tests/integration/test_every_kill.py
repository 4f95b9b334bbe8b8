"""Every operation, its worker killed at each step: it ends whole or undone, and leaves nothing.

The cases are made of the flows' own step lists. On simulated hosts there are more of them, with
what goes wrong besides (tests/unit/conductor/killing.py); here guests, disks and domains are real.
"""

from collections.abc import Iterator
from unittest.mock import ANY

import pytest

from controller.states import BY_OPERATION, ERROR
from tests.fixtures.begun_operations import OF_STEPS, SCENARIOS, Scenario, host_is_back
from tests.fixtures.cloud import HOSTS, CloudForTests
from tests.fixtures.comparison import leave_mark, look
from tests.fixtures.killing_workers import (
    Case,
    cases,
    killing,
    other_settings,
    wait_for_end,
)
from tests.fixtures.reused_guest import ReusedGuest
from tests.integration.test_audit import audit

pytestmark = [pytest.mark.lab, pytest.mark.slow]

# A step can be over before the kill takes hold; then it is done once more.
TRIES = 5
# Without these some operations are never begun, or only by themselves.
SETTINGS = {
    "reclaim_instance_interval_s": 3600,
    "shelved_offload_time_s": -1,
    "allow_resize_to_same_host": True,
}
LIMITS = {"novella:max_vcpus": "1", "novella:max_memory_mb": "320"}


@pytest.fixture(scope="module")
def shared_guest(cloud: CloudForTests) -> Iterator[ReusedGuest]:
    flavors = []
    for name, memory_mb in (("kill.small", 192), ("kill.large", 256)):
        flavor = cloud.admin.compute.create_flavor(name=name, ram=memory_mb, vcpus=1, disk=1)
        cloud.admin.compute.create_flavor_extra_specs(flavor, LIMITS)
        flavors.append(flavor)
    # Without a gateway: of two cards in one subnet, a guest answers by whichever came up first.
    network = cloud.tenant.network.create_network(name="killed")
    subnet = cloud.tenant.network.create_subnet(
        network_id=network.id, cidr="192.168.78.0/24", ip_version=4, gateway_ip=None
    )
    with other_settings(cloud, SETTINGS) as processes:
        guest = ReusedGuest(cloud, processes, (flavors[0], flavors[1]), network)
        yield guest
        guest.discard()
    cloud.tenant.network.delete_subnet(subnet)
    cloud.tenant.network.delete_network(network)
    for flavor in flavors:
        cloud.admin.compute.delete_flavor(flavor)


@pytest.fixture
def guest(shared_guest: ReusedGuest) -> Iterator[ReusedGuest]:
    """The guest, as it runs; one that a case fails with is thrown away."""
    shared_guest.make_ready()
    shared_guest.sound = False
    yield shared_guest
    if (fixing := shared_guest.kept.pop("fixing", None)) is not None:
        fixing.kill()
        fixing.communicate()
    if "dead" in shared_guest.kept:
        host_is_back(shared_guest)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_killed_at_each_step_it_ends_whole_or_undone(guest: ReusedGuest, case: Case) -> None:
    scenario = OF_STEPS.get((case.kind, case.step)) or SCENARIOS[case.kind]
    for _ in range(TRIES):
        guest.make_ready()
        if played(guest, case, scenario):
            break
    else:
        pytest.fail(f"{TRIES} times it was over before the kill took hold")
    guest.sound = True


def played(guest: ReusedGuest, case: Case, scenario: Scenario) -> bool:
    """Kill it in the step, and look at what comes of it; return whether the kill took hold."""
    scenario.prepare(guest)
    words = guest.words() if guest.server else []
    was = guest.status if guest.server else "GONE"
    with killing(guest.cloud, case) as kill:
        scenario.act(guest)
    guest.processes.ensure_worker()
    ended = wait_for_end(guest.cloud, kill.operation_id)
    scenario.afterwards(guest)
    whole = ended.state == "succeeded"
    in_error = not whole and BY_OPERATION[case.kind].after_failure == ERROR
    if whole and scenario.becomes == "GONE":
        check_gone(guest, words)
        return kill.hit
    expected = scenario.becomes if whole else was
    guest.settle("ERROR" if in_error and guest.status == "ERROR" else expected)
    if case.kind == "server_create":
        guest.take_stock()
    scenario.check(guest, whole)
    restarted = scenario.restarts or guest.status == "ERROR"
    guest.bring_back()
    check_kept(guest, restarted, renewed=whole and scenario.renews)
    check_nothing_left(guest)
    return kill.hit


def check_gone(guest: ReusedGuest, words: list[str]) -> None:
    assert guest.cloud.admin.compute.find_server(guest.server.id) is None
    guest.server = None
    for host in HOSTS:
        assert guest.things_on(host, words) == []
    check_audit(guest)


def check_kept(guest: ReusedGuest, restarted: bool, renewed: bool) -> None:
    """Its guest answers, and is what it was but for what the action changes."""
    before, now = guest.seen, look(guest.cloud, guest.server)
    assert before is not None
    items = tuple(sorted(guest.metadata.items()))
    assert now == before.but(
        disk="" if renewed else before.disk,
        boot_id=ANY if restarted else before.boot_id,
        served=(*before.served[:-1], items),
        metadata=items,
    )
    guest.seen = leave_mark(guest.cloud, guest.server) if renewed else now


def check_nothing_left(guest: ReusedGuest) -> None:
    assert guest.things_on(guest.away) == []
    assert guest.things_on(guest.home) == guest.at_home
    assert [each.name for each in guest.image_store.iterdir() if "." in each.name] == []
    check_audit(guest)


def check_audit(guest: ReusedGuest) -> None:
    _, said = audit(guest.cloud)
    assert [each for each in said["findings"] if each["server_id"] not in guest.abandoned] == []
