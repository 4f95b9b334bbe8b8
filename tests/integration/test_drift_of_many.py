"""A host with a hundred servers: when nothing differs, the check says so, and in how long.

The servers are simulated as far as that they were never started: rows in the database, and disks,
definitions, rules, addresses and metadata on the host, made by the fix itself.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from controller.core import boot_images, flavors, ports
from controller.core.context import Context
from controller.db.models import Flavor, Host, Image, Network, Server
from controller.db.session import Database
from controller.settings import load
from tests.fixtures.cloud import CloudForTests

pytestmark = [pytest.mark.lab, pytest.mark.slow]

COUNT = 100
INSTANCES = "/var/lib/novella/instances"


def test_a_clean_host_shows_none_of_a_hundred_servers(
    cloud: CloudForTests, capsys: pytest.CaptureFixture[str]
) -> None:
    # It brings the image's base, the network and the project's groups.
    real = cloud.boot("real")
    host = cloud.host_of(real)
    made = _servers(cloud, host)
    _disks(cloud, host, made)

    # So does the real one, whose group has a hundred members more.
    assert {each["server"] for each in _check(cloud, host)["differ"]} == {*made, real.id}
    assert _check(cloud, host, "--fix")["left"] == []
    said = _check(cloud, host)
    assert said["differ"] == []
    assert (said["compared"], said["skipped"]) == (COUNT + 1, {})
    with capsys.disabled():
        sys.stdout.write(f"\nhost check of {said['compared']} servers: {said['seconds']} s\n")

    everything = list(cloud.tenant.compute.servers())
    for server in everything:
        cloud.tenant.compute.delete_server(server)
    for server in everything:
        cloud.tenant.compute.wait_for_delete(server, wait=300)


def _servers(cloud: CloudForTests, host: str) -> list[str]:
    """Return the ids of stopped servers of the tenant that are on the host, by the database."""
    settings = load(cloud.cloud.config)
    db = Database(settings.db_url)
    project_id = cloud.tenant.current_project_id
    context = Context("req-many", user_id=cloud.tenant.current_user_id, project_id=project_id)
    with db.write() as session:
        host_id = session.query(Host.id).filter_by(name=host).scalar()
        image = session.query(Image).filter_by(name="tiny").one()
        flavor = session.query(Flavor).filter_by(name="m1.nano").one()
        network = session.query(Network).filter_by(name="public").one()
        servers = [
            Server(
                project_id=project_id, user_id=context.user_id, name=f"many-{number}",
                hostname=f"many-{number}", flavor=flavors.snapshot(flavor), image_id=image.id,
                image=boot_images.snapshot(image), reservation_id="r-many", state="stopped",
                power_state=4, host_id=host_id,
            )
            for number in range(COUNT)
        ]  # fmt: skip
        session.add_all(servers)
        session.flush()
        wanted = [{"uuid": network.id}]
        ports.prepare_for_servers(session, settings, context, servers, wanted, [])
        for server in servers:
            ports.bind(session, server.id, host_id)
        ids = sorted(server.id for server in servers)
    db.dispose()
    return ids


def _disks(cloud: CloudForTests, host: str, server_ids: list[str]) -> None:
    script = f"""
        base=$(ls {INSTANCES}/_base/* | grep -E '/[0-9a-f]{{40}}$' | head -1)
        for id in {" ".join(server_ids)}; do
          mkdir -m 0711 {INSTANCES}/$id
          qemu-img create -q -f qcow2 -b $base -F raw {INSTANCES}/$id/disk 1G
        done"""
    cloud.on_host(host, "sh", "-ec", script)


def _check(cloud: CloudForTests, host: str, *options: str) -> Any:
    done = subprocess.run(
        [*cloud.cloud.command, "host", "check", host, "--json", *options],
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert said["problem"] == ""
    assert said.get("failed", {}) == {}
    return said
