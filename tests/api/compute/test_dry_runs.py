"""Requests with our dry-run header: refused as real ones, else one operation and nothing more."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from controller.api.common.calls import Services
from controller.core import hosts
from controller.db.models import Base, Flavor, Host, Server
from controller.runner.simulated import SimulatedExecutor
from controller.settings import Settings
from tests.api.compute.conftest import SERVERS, at

DRY = {"X-Novella-Dry-Run": "true"}
Rows = dict[str, list[dict[str, Any]]]


def everything(services: Services) -> Rows:
    """Return all rows of all tables, in an order of their own."""
    with services.db.read() as session:
        return {
            table.name: sorted(
                (dict(row._mapping) for row in session.execute(select(table))), key=repr
            )
            for table in Base.metadata.sorted_tables
        }


def only_one_more(before: Rows, after: Rows, operation_id: str) -> bool:
    """Whether nothing differs but for the row of one operation."""
    left = [row for row in after["operations"] if row["id"] != operation_id]
    return {**after, "operations": left} == before and len(after["operations"]) == len(left) + 1


@pytest.fixture
def two_hosts(services: Services, host: Host, other_host: str) -> list[str]:
    with services.db.write() as session:
        session.add(Flavor(flavor_id="2", name="m1.big", vcpus=2, memory_mb=256, disk_gb=2))
    return [host.name, other_host]


def asked(name: str, body: dict[str, Any], server: str) -> tuple[str, str, dict[str, Any] | None]:
    """Return method, path and body of a request that can be tried out."""
    if name == "create":
        return "POST", SERVERS, {"server": body}
    if name == "delete":
        return "DELETE", f"{SERVERS}/{server}", None
    return "POST", f"{SERVERS}/{server}/action", {name: body or None}


CASES = {
    "create": ["server_create"],
    "create of two": ["server_create", "server_create"],
    "resize": ["server_move_out", "server_resize", "server_confirm_resize"],
    "migrate": ["server_move_out", "server_resize", "server_confirm_resize"],
    "delete": ["server_delete"],
    "forceDelete": ["server_delete"],
    # What keeps the definition at the new host would compare with what has come there.
    "os-migrateLive": ["server_receive", "server_live_migrate", "server_delete"],
    "evacuate": ["server_evacuate"],
}
BY_ADMIN = {"migrate", "os-migrateLive", "evacuate"}
# Their bodies are later microversions'.
LATE = {"os-migrateLive", "evacuate"}
LEFT_OUT = {"os-migrateLive": ["server_converge"]}


@pytest.fixture
def bodies(a_server: Callable[..., dict[str, Any]]) -> dict[str, dict[str, Any]]:
    wanted = a_server()["server"]
    more = {"min_count": 2, "adminPass": "s3cret-word", "user_data": "c2VjcmV0"}
    return {
        "create": {**wanted, "metadata": {"k": "v"}},
        "create of two": {**wanted, **more},
        "resize": {"flavorRef": "2"},
        "os-migrateLive": {"host": None, "block_migration": "auto"},
        "evacuate": {"adminPass": "s3cret-word"},
    }


@pytest.fixture
def source(services: Services, server: str) -> Host:
    """The host that the server is on."""
    with services.db.read() as session:
        return session.get_one(Host, session.get_one(Server, server).host_id)


def bring_down(services: Services, host: Host) -> None:
    with services.db.write() as session:
        session.get_one(Host, host.id).forced_down = True


@pytest.fixture
def headers(case: str, admin: Any, source: Host, services: Services) -> dict[str, str]:
    """Return those of the case, whose server may be asked for it."""
    if case == "evacuate":
        bring_down(services, source)
        word = {"by": "Ada of operations", "reason": "unplugged at the rack"}
        assert admin.put(f"/novella/v1/hosts/{source.name}/fence", json=word).status_code == 200
    return DRY | (at("2.90") if case in LATE else {})


@pytest.mark.usefixtures("two_hosts")
@pytest.mark.parametrize("case", CASES)
def test_a_dry_run_is_one_operation_that_says_what_would_be_done(
    case: str, alice: Any, admin: Any, rita: Any, bob: Any, server: str, bodies: Any,
    services: Services, executor: SimulatedExecutor, work: Callable[[], None],
    headers: dict[str, str], source: Host,
) -> None:  # fmt: skip
    method, path, body = asked(case.partition(" ")[0], bodies.get(case, {}), server)
    executor.runs.clear()
    before = everything(services)
    caller = admin if case in BY_ADMIN else alice
    answer = caller.call(method, path, json=body, headers=headers)
    assert answer.status_code == 202
    operation_id = answer.json["operation"]["id"]
    href = f"/novella/v1/operations/{operation_id}"
    assert answer.headers["Location"].endswith(href)
    assert only_one_more(before, everything(services), operation_id)

    work()
    after = everything(services)
    assert only_one_more(before, after, operation_id)
    assert "s3cret-word" not in repr(after)
    assert "c2VjcmV0" not in repr(after)
    runs = executor.runs
    assert [run.playbook for run in runs] == CASES[case]
    assert all(run.check for run in runs)
    shown = admin.get(href).json["operation"]
    assert (shown["state"], shown["fault"]) == ("succeeded", None)
    assert [play for each in shown["dry_run"]["would"] for play in each["plays"]] == [
        {"playbook": run.playbook, "host": run.hosts[0].name, "status": "ok", "message": "",
         "diff": ""}
        for run in runs
    ]  # fmt: skip
    for each in shown["dry_run"]["would"]:
        assert [play["playbook"] for play in each["left_out"]] == LEFT_OUT.get(case, [])
        if case in LATE:
            assert each["host"] != source.name
        assert each["host"] in ("host-a.example", "host-b.example")
        if case not in ("delete", "forceDelete"):
            assert each["host"] in each["selection"]["best"]
            assert each["selection"]["rejected"]["Resources"] == 0

    assert bob.get(href).status_code == 404
    if caller is alice:
        told = rita.get(href).json["operation"]
        assert told["state"] == "succeeded"
        assert "host-" not in repr(told)
        assert {each["operation"] for each in told["dry_run"]["would"]} == {
            each["operation"] for each in shown["dry_run"]["would"]
        }


def test_what_a_create_would_tell_its_host_is_what_it_tells_it(
    alice: Any, host: Host, bodies: Any, executor: SimulatedExecutor, work: Callable[[], None]
) -> None:
    body = {"server": {**bodies["create of two"], "min_count": 1}}
    alice.post(SERVERS, json=body, headers=DRY)
    work()
    alice.post(SERVERS, json=body)
    work()
    tried, done = executor.runs
    assert (tried.check, done.check) == (True, False)
    (before,), (after,) = (run.arguments["servers"] for run in (tried, done))
    assert before.keys() == after.keys()
    same = ("name", "flavor", "image", "networks")
    assert {name: before[name] for name in same} == {name: after[name] for name in same}
    assert len(before["ports"]) == len(after["ports"]) == 1
    # The project's default group, which the dry run has not left behind.
    rules = [each["security_groups"][0]["rules"] for each in (before, after)]
    assert len(rules[0]) == len(rules[1]) > 0
    (secrets,) = tried.secrets.values()
    assert secrets == {"admin_pass": "s3cret-word", "user_data": "c2VjcmV0"}


REFUSED = [
    ("create", {"flavorRef": "77"}, 400),
    ("create", {"name": ""}, 400),
    ("create", {"imageRef": "5f2c4c9e-1111-4222-8333-444455556666"}, 400),
    ("create", {"min_count": 11}, 403),
    ("resize", {"flavorRef": "1"}, 400),
    ("resize", {}, 400),
    ("migrate", {}, 403),
    ("os-migrateLive", {"host": None, "block_migration": False, "disk_over_commit": False}, 403),
    ("evacuate", {"onSharedStorage": False}, 403),
    ("restore", {}, 409),
]


@pytest.mark.usefixtures("two_hosts")
@pytest.mark.parametrize(("name", "change", "status"), REFUSED)
def test_a_dry_run_is_refused_as_the_request_is(
    name: str, change: dict[str, Any], status: int, alice: Any, server: str, bodies: Any,
    services: Services,
) -> None:  # fmt: skip
    body = {**bodies["create"], **change} if name == "create" else change
    method, path, whole = asked(name, body, server)
    before = everything(services)
    real = alice.call(method, path, json=whole)
    assert real.status_code == status
    dry = alice.call(method, path, json=whole, headers=DRY)
    if name != "restore":
        assert (dry.status_code, dry.json) == (status, real.json)
    assert everything(services) == before


@pytest.mark.usefixtures("two_hosts")
def test_no_host_is_fenced_for_a_dry_run(
    admin: Any, source: Host, server: str, services: Services, settings: Settings,
    work: Callable[[], None], executor: SimulatedExecutor,
) -> None:  # fmt: skip
    object.__setattr__(settings, "fence_playbook", "/etc/novella/fence.yml")
    bring_down(services, source)
    executor.runs.clear()
    before = everything(services)
    headers = DRY | at("2.90")
    path = f"{SERVERS}/{server}/action"
    answer = admin.post(path, json={"evacuate": {}}, headers=headers)
    assert answer.status_code == 202, answer.json
    work()
    assert only_one_more(before, everything(services), answer.json["operation"]["id"])
    (would,) = admin.get(answer.headers["Location"]).json["operation"]["dry_run"]["would"]
    assert [(each["playbook"], each["host"]) for each in would["left_out"]] == [
        ("host_fence", source.name)
    ]
    assert [run.playbook for run in executor.runs] == ["server_evacuate"]
    assert [each["host"] for each in would["plays"]] == [would["host"]] != [source.name]


@pytest.mark.usefixtures("two_hosts")
def test_a_live_migration_that_would_be_refused_fails_its_dry_run_and_says_why(
    admin: Any, server: str, services: Services, executor: SimulatedExecutor,
    work: Callable[[], None],
) -> None:  # fmt: skip
    executor.fails = lambda run, _id: "no CPU like it" if len(run.hosts) > 1 else None
    before = everything(services)
    headers = DRY | at("2.90")
    body = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
    answer = admin.post(f"{SERVERS}/{server}/action", json=body, headers=headers)
    work()
    assert only_one_more(before, everything(services), answer.json["operation"]["id"])
    shown = admin.get(answer.headers["Location"]).json["operation"]
    assert (shown["state"], shown["fault_details"]) == ("failed", "no CPU like it")
    (would,) = shown["dry_run"]["would"]
    assert [(each["playbook"], each["message"]) for each in would["plays"]] == [
        ("server_receive", ""), ("server_live_migrate", "no CPU like it"),
    ]  # fmt: skip


@pytest.mark.usefixtures("two_hosts")
@pytest.mark.parametrize("state", ["resized", "paused", "error"])
def test_a_state_refuses_a_dry_run_as_it_does_the_real_one(
    state: str, alice: Any, server: str, services: Services
) -> None:
    with services.db.write() as session:
        session.get_one(Server, server).state = state
    path = f"{SERVERS}/{server}/action"
    body = {"resize": {"flavorRef": "2"}}
    real, dry = alice.post(path, json=body), alice.post(path, json=body, headers=DRY)
    assert (dry.status_code, dry.json) == (real.status_code, real.json) == (409, real.json)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/action", {"os-stop": None}),
        ("POST", "/action", {"os-getConsoleOutput": {}}),
        ("PUT", "", {"server": {"name": "other"}}),
        ("PUT", "/tags/x", None),
    ],
)
def test_what_can_not_be_tried_out_is_not_done_in_earnest(
    method: str, path: str, body: Any, alice: Any, server: str, services: Services
) -> None:
    before = everything(services)
    headers = DRY | at("2.26")
    answer = alice.call(method, f"{SERVERS}/{server}{path}", json=body, headers=headers)
    assert answer.status_code == 400
    assert "can't be tried out" in answer.json["badRequest"]["message"]
    assert everything(services) == before


def test_other_services_refuse_the_header_too(alice: Any) -> None:
    answer = alice.post("/network/v2.0/networks", json={"network": {}}, headers=DRY)
    assert answer.status_code == 400
    assert "can't be tried out" in answer.json["NeutronError"]["message"]


def test_a_header_that_is_neither_true_nor_false_is_refused(alice: Any, server: str) -> None:
    answer = alice.call("DELETE", f"{SERVERS}/{server}", headers={"X-Novella-Dry-Run": "maybe"})
    assert answer.status_code == 400
    assert alice.get(f"{SERVERS}/{server}").json["server"]["status"] == "ACTIVE"


def test_a_false_header_has_it_done(alice: Any, server: str, work: Callable[[], None]) -> None:
    path = f"{SERVERS}/{server}"
    assert alice.call("DELETE", path, headers={"X-Novella-Dry-Run": "false"}).status_code == 204
    work()
    assert alice.get(path).status_code == 404


def test_without_a_host_that_fits_the_dry_run_fails_and_says_so(
    alice: Any, admin: Any, server: str, services: Services, two_hosts: list[str],
    work: Callable[[], None],
) -> None:  # fmt: skip
    with services.db.write() as session:
        for each in hosts.list_hosts(session):
            each.enabled = False
    before = everything(services)
    answer = alice.post(f"{SERVERS}/{server}/action", json={"resize": {"flavorRef": "2"}},
                        headers=DRY)  # fmt: skip
    work()
    operation_id = answer.json["operation"]["id"]
    assert only_one_more(before, everything(services), operation_id)
    href = f"/novella/v1/operations/{operation_id}"
    told = alice.get(href).json["operation"]
    assert (told["state"], "No valid host" in told["fault"]) == ("failed", True)
    assert "Enabled" in admin.get(href).json["operation"]["fault_details"]


def test_a_host_that_could_not_do_it_fails_the_dry_run(
    alice: Any, admin: Any, host: Host, bodies: Any, services: Services,
    executor: SimulatedExecutor, work: Callable[[], None],
) -> None:  # fmt: skip
    executor.fails = lambda _run, _id: "no room"
    before = everything(services)
    answer = alice.post(SERVERS, json={"server": bodies["create"]}, headers=DRY)
    work()
    assert only_one_more(before, everything(services), answer.json["operation"]["id"])
    shown = admin.get(answer.headers["Location"]).json["operation"]
    assert (shown["state"], shown["fault_details"]) == ("failed", "no room")
    (would,) = shown["dry_run"]["would"]
    assert [(each["host"], each["message"]) for each in would["plays"]] == [(host.name, "no room")]


def test_a_server_that_has_changed_meanwhile_fails_the_dry_run(
    alice: Any, server: str, services: Services, work: Callable[[], None], two_hosts: list[str]
) -> None:
    body = {"resize": {"flavorRef": "2"}}
    answer = alice.post(f"{SERVERS}/{server}/action", json=body, headers=DRY)
    with services.db.write() as session:
        session.get_one(Server, server).state = "error"
    work()
    shown = alice.get(answer.headers["Location"]).json["operation"]
    assert (shown["state"], "is error by now" in shown["fault"]) == ("failed", True)


def test_a_full_queue_takes_no_dry_runs_either(
    alice: Any, server: str, services: Services, settings: Settings
) -> None:
    object.__setattr__(services, "settings", replace(settings, queue_max=1))
    path = f"{SERVERS}/{server}"
    codes = [alice.call("DELETE", path, headers=DRY).status_code for _ in range(4)]
    assert codes == [202, 202, 503, 503]
