"""Dry runs on real hosts: what would be done is shown, and nothing is."""

import re
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from controller.db.models import Base
from controller.settings import load
from lab import contents
from lab.waiting import wait_until
from tests.fixtures.cloud import HOSTS, CloudForTests

pytestmark = pytest.mark.lab

LOOK = (
    "find /var/lib/novella /etc/libvirt/qemu /etc/pki -type f -printf '%p %s %T@\\n' "
    "| grep -v -e leases -e console.log -e '/modules/' | sort; virsh list --all; "
    "iptables-save | sed 's/ *\\[[0-9:]*\\]//; /^#/d'; ip -o link | cut -d: -f2 | sort"
)
# What hosts' heartbeats and workers write of themselves all the time.
ALIVE = {"workers", "reconciler_rounds", "operations", "inventories", "resource_providers"}


def of_hosts(cloud: CloudForTests) -> dict[str, str]:
    """Return what there is on the hosts; what changes by itself left out."""
    # A guest writes to its disk, whatever we do.
    disk = re.compile(r"(instances/[0-9a-f-]{36}/disk\S*) .*")
    return {host: disk.sub(r"\1", cloud.on_host(host, "sh", "-c", LOOK).stdout) for host in HOSTS}


def of_database(cloud: CloudForTests) -> dict[str, list[Any]]:
    engine = create_engine(load(cloud.cloud.config).db_url)
    try:
        with engine.connect() as connection:
            rows = {
                table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
                for table in Base.metadata.sorted_tables
                if table.name not in ALIVE | {"hosts"}
            }
            generations = select(Base.metadata.tables["hosts"].c.generation)
            return {**rows, "hosts": sorted(map(tuple, connection.execute(generations)))}
    finally:
        engine.dispose()


def tried(
    cloud: CloudForTests, method: str, path: str, body: Any, version: str | None = None
) -> dict[str, Any]:
    """Return the ended operation of a request that is tried out, as an administrator sees it.

    One of a microversion is an administrator's.
    """
    caller = cloud.admin if version else cloud.tenant
    answer = caller.compute.request(
        path, method, json=body, headers={"X-Novella-Dry-Run": "true"}, microversion=version
    )
    assert answer.status_code == 202, answer.text
    seen: dict[str, Any] = {}

    def ended() -> bool:
        seen.update(cloud.admin.session.get(answer.headers["Location"]).json()["operation"])
        return seen["state"] in ("succeeded", "failed")

    wait_until(ended, what=f"the dry run of {method} {path} has ended", timeout_s=60)
    assert seen["state"] == "succeeded", seen
    return seen


def test_dry_runs_say_what_they_would_do_and_change_nothing(cloud: CloudForTests) -> None:
    server = cloud.boot("not-to-change")
    cloud.in_guest(server, "sync")
    image = cloud.tenant.image.find_image(contents.TINY_IMAGE, ignore_missing=False)
    small = cloud.tenant.compute.find_flavor("m1.small", ignore_missing=False)
    network = cloud.tenant.network.find_network(contents.PUBLIC_NETWORK, ignore_missing=False)
    create = {
        "server": {
            "name": "never-made", "imageRef": image.id, "flavorRef": small.id,
            "networks": [{"uuid": network.id}], "user_data": "IyEvYmluL3NoCg==",
        }
    }  # fmt: skip
    path = f"/servers/{server.id}"
    before = of_hosts(cloud), of_database(cloud)

    (made,) = tried(cloud, "POST", "/servers", create)["dry_run"]["would"]
    (play,) = made["plays"]
    assert (play["playbook"], play["host"]) == ("server_create", made["host"])
    assert made["host"] in made["selection"]["best"]
    assert "+name: novella-" in play["diff"] or "never-made" in play["diff"], play["diff"]

    body = {"resize": {"flavorRef": small.id}}
    (resized,) = tried(cloud, "POST", f"{path}/action", body)["dry_run"]["would"]
    out, into, end = resized["plays"]
    source = cloud.host_of(server)
    assert (out["host"], into["host"], end["host"]) == (source, resized["host"], source)
    assert resized["host"] != source
    assert f"+/var/lib/novella/instances/{server.id}_resize" in out["diff"], out["diff"]
    assert (
        f"folder /var/lib/novella/instances/{server.id}" in into["diff"] or "disk" in into["diff"]
    )

    body = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
    (moved,) = tried(cloud, "POST", f"{path}/action", body, "2.90")["dry_run"]["would"]
    ready, move, left = moved["plays"]
    assert [each["host"] for each in (ready, move, left)] == [moved["host"], source, source]
    assert moved["host"] != source
    # Disk and CPU of the two hosts are compared, by reads of theirs alone.
    assert f"-host: {source}\n+host: {moved['host']}\n+CPU: " in move["diff"], move["diff"]
    assert re.search(r"^\+disks: \d+ MiB of \d+ MiB that are left$", move["diff"], re.M)
    assert [each["playbook"] for each in moved["left_out"]] == ["server_converge"]

    (deleted,) = tried(cloud, "DELETE", path, None)["dry_run"]["would"]
    assert f"-/var/lib/novella/instances/{server.id}" in deleted["plays"][0]["diff"]

    assert (of_hosts(cloud), of_database(cloud)) == before
    cloud.in_guest(server, "true")
    cloud.delete(server)
