"""Every action in every state that allows it, and its refusal in the others, on real guests.

Generated from the state table; tests/fixtures/state_actions.py says how each is asked for.
"""

from collections.abc import Callable, Iterator

import pytest
from openstack import exceptions

from controller.api.compute.statuses import BY_STATE
from controller.core.snapshot_losses import LOSING
from controller.states import (
    ACTIVE,
    BUILDING,
    DELETED,
    ERROR,
    RESCUED,
    RESIZED,
    SHELVED_OFFLOADED,
    TABLE,
)
from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests
from tests.fixtures.comparison import Seen
from tests.fixtures.state_actions import (
    MOST_MB,
    NOT_ASKED,
    SIZES_MB,
    SPOILED_BY_RESET,
    WAYS,
    Subject,
)
from tests.fixtures.workers import worker_at_rest

pytestmark = [pytest.mark.lab, pytest.mark.slow]

GONE = ""
# `evacuate` costs a host (test_evacuate.py); a delete has a test of its own below.
ELSEWHERE = NOT_ASKED | {"evacuate", "delete"}
# A delete that can't be a soft one is one for good.
NEVER_REFUSED = NOT_ASKED | {"soft_delete"}
NEED_SNAPSHOT = frozenset({"revert_snapshot", "delete_snapshot"})
STATES = tuple(WAYS)
CASES = [
    (state, row.action)
    for state in STATES
    for row in TABLE.values()
    if state in row.allowed_in and row.action not in ELSEWHERE
]
# Where the guest runs meanwhile, so that it can be looked at before and after a refusal.
RUNNING = frozenset({ACTIVE, ERROR, RESCUED, RESIZED})
# So that servers stay shelved on their hosts, and deleted ones can be restored.
SETTINGS = "shelved_offload_time_s = -1\nreclaim_instance_interval_s = 3600\n"


@pytest.fixture(scope="module")
def keeping(cloud: CloudForTests) -> Iterator[CloudForTests]:
    """The cloud, its controller started again with settings that leave time for every state."""
    with cloud.with_settings(SETTINGS):
        yield cloud


@pytest.fixture(scope="module")
def subject(keeping: CloudForTests) -> Iterator[Subject]:
    cloud = keeping
    flavors = []
    for name, ram in SIZES_MB.items():
        flavor = cloud.admin.compute.create_flavor(name=name, vcpus=1, ram=ram, disk=1)
        specs = {"novella:max_memory_mb": str(MOST_MB)}
        cloud.admin.compute.create_flavor_extra_specs(flavor, specs)
        flavors.append(flavor)
    network = cloud.tenant.network.create_network(name="states-inner")
    cloud.tenant.network.create_subnet(
        network_id=network.id, cidr="192.168.78.0/24", ip_version=4, gateway_ip=None
    )
    made = Subject(cloud, network)
    yield made
    left = [server for server in made.made if made.tenant.find_server(server.id)]
    for server in left:
        made.tenant.delete_server(server.id, force=True)
    for server in left:
        made.tenant.wait_for_delete(server, wait=120, interval=1)
    cloud.tenant.network.delete_network(network)
    for flavor in flavors:
        cloud.admin.compute.delete_flavor(flavor)


# --- what an action needs beforehand, and what it is to change -----------------------------------


def _with_a_card_more(on: Subject) -> Seen:
    on.do("attach_interface")
    wait_until(
        lambda: on.attached.mac_addr in on.look().mac_addresses,
        what="the guest sees its new card", timeout_s=60, interval_s=0.5,
    )  # fmt: skip
    return on.mark()


def _with_a_snapshot(on: Subject) -> Seen:
    on.do("create_snapshot")
    return on.mark()


def _changed_after_a_snapshot(on: Subject) -> Seen:
    before = on.mark()
    on.do("create_snapshot")
    assert on.mark().disk != before.disk
    return before


PREPARE: dict[str, Callable[[Subject], Seen]] = {
    "detach_interface": _with_a_card_more,
    "delete_snapshot": _with_a_snapshot,
    "revert_snapshot": _changed_after_a_snapshot,
}


def _rebuilt(before: Seen, _: Subject) -> Seen:
    return before.but(disk=GONE)


def _renamed(before: Seen, _: Subject) -> Seen:
    uuid, _name, hostname, items = before.served
    return before.but(served=(uuid, "renamed", hostname, items))


def _with_other_metadata(before: Seen, _: Subject) -> Seen:
    items = (("colour", "green"), ("odd", "<&>"))
    return before.but(served=(*before.served[:-1], items), metadata=items)


def _card(on: Subject) -> tuple[str, str, str]:
    """Return the attached card as `Seen.addresses` has it."""
    (fixed_ip,) = on.attached.fixed_ips
    return on.network.name, fixed_ip["ip_address"], on.attached.mac_addr


def _attached(before: Seen, on: Subject) -> Seen:
    macs = tuple(sorted((*before.mac_addresses, on.attached.mac_addr)))
    return before.but(mac_addresses=macs, addresses=before.addresses | {_card(on)})


# All that isn't here leaves disk, MACs, addresses, metadata and what is served as they were.
CHANGES: dict[str, Callable[[Seen, Subject], Seen]] = {
    "rebuild": _rebuilt,
    "rename": _renamed,
    "update_metadata": _with_other_metadata,
    "attach_interface": _attached,
}


def _detached(before: Seen, on: Subject) -> Seen:
    macs = tuple(mac for mac in before.mac_addresses if mac != on.attached.mac_addr)
    return before.but(mac_addresses=macs, addresses=before.addresses - {_card(on)})


def _compare(on: Subject, before: Seen, expected: Seen) -> None:
    """See the guest of a server that is ACTIVE as is expected; booted again if it had to be."""
    if expected.mac_addresses != before.mac_addresses:
        # A card comes and goes by the guest's own doing.
        wait_until(
            lambda: on.look().mac_addresses == expected.mac_addresses,
            what=f"the guest has the cards {expected.mac_addresses}",
            timeout_s=60, interval_s=0.5,
        )  # fmt: skip
    seen = on.look()
    assert seen == expected.but(boot_id=seen.boot_id)
    assert (seen.boot_id != before.boot_id) == on.booted_again, on.path


# --- the cases -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "action"), CASES)
def test_an_action_does_what_its_row_says_and_keeps_the_rest(
    subject: Subject, state: str, action: str
) -> None:
    with subject.case():
        before = PREPARE.get(action, Subject.mark)(subject)
        expected = _detached(before, subject) if action == "detach_interface" else before
        subject.bring_to(state)
        subject.do(action)
        if action in CHANGES:
            expected = CHANGES[action](before, subject)
        if (action, state) == ("reset_state", SHELVED_OFFLOADED):
            # There is no way back: what it had is an image, and the server in error on no host.
            _delete(subject)
            return
        subject.bring_back()
        _compare(subject, before, expected)
        if action == "reset_state" and state in SPOILED_BY_RESET:
            _delete(subject)


def _delete(on: Subject) -> None:
    """Delete the server for good; nothing of it is left."""
    ports = on.ports()
    on.ask("delete")
    on.wait_until_idle()
    assert on.state() == DELETED
    assert on.left(ports) == []


@pytest.mark.parametrize("state", STATES)
def test_a_delete_leaves_nothing(subject: Subject, state: str) -> None:
    with subject.case():
        subject.bring_to(state)
        _delete(subject)


def refused_in(state: str) -> list[str]:
    return [
        row.action
        for row in TABLE.values()
        if state not in row.allowed_in and row.action not in NEVER_REFUSED
    ]


def _refusals(on: Subject, state: str, actions: list[str]) -> dict[str, str]:
    """Ask for each action; return what isn't refused as it should be: action to the answer."""
    wrong = {}
    for action in actions:
        try:
            on.ask(action)
        except exceptions.ConflictException as refused:
            allowed = TABLE[action].allowed_in
            said = str(refused)
            if not all(each in said for each in (f"it is {state}, and", *allowed)):
                wrong[action] = said
        except exceptions.HttpException as other:
            wrong[action] = str(other)
        else:
            wrong[action] = "accepted"
    return wrong


@pytest.mark.parametrize("state", STATES)
def test_what_a_state_does_not_allow_is_refused_and_changes_nothing(
    subject: Subject, state: str
) -> None:
    actions = refused_in(state)
    with subject.case():
        if LOSING.isdisjoint(WAYS[state]):
            subject.do("create_snapshot")
        else:
            # With a snapshot a server doesn't get there, and of none there is nothing to refuse.
            actions = [each for each in actions if each not in NEED_SNAPSHOT]
        before = subject.mark()
        subject.bring_to(state)
        seen = subject.look() if state in RUNNING else None
        operations = subject.operations()
        assert _refusals(subject, state, actions) == {}
        assert (subject.state(), subject.shown().task_state) == (state, None)
        assert subject.operations() == operations
        if seen is not None:
            assert subject.look() == seen
        subject.bring_back()
        _compare(subject, before, before)


@pytest.mark.parametrize("action", ["delete", "reset_state", "rename"])
def test_a_server_that_is_built_takes_what_its_state_allows_and_refuses_the_rest(
    subject: Subject, action: str
) -> None:
    assert BUILDING in TABLE[action].allowed_in
    subject.good = False
    with worker_at_rest(subject.cloud):
        subject.build(wait=False)
        assert subject.shown().status == BY_STATE[BUILDING]
        actions = [each for each in refused_in(BUILDING) if each not in NEED_SNAPSHOT]
        assert _refusals(subject, BUILDING, actions) == {}
        ports = subject.ports()
        subject.ask(action)
    subject.wait_until_idle()
    if action == "delete":
        assert subject.state() == DELETED
        assert subject.left(ports) == []
        return
    # The build goes on, and its end says what the server is.
    subject.settle(ACTIVE)
    seen = subject.look()
    name = "renamed" if action == "rename" else subject.server.name
    assert (seen.served[1], dict(seen.metadata)) == (name, {"colour": "blue"})
    _delete(subject)
