"""A real guest goes to another host while it writes to its disk and answers pings."""

import contextlib
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.waiting import wait_until
from tests.fixtures.cloud import HOSTS, CloudForTests
from tests.fixtures.comparison import leave_mark, look
from tests.fixtures.killing_workers import kill_workers, workers_of

pytestmark = pytest.mark.lab

FOLDERS = "/var/lib/novella/instances"
# Each number is on the disk before the next one is written.
WRITER = "i=0; while :; do i=$((i+1)); echo $i >>/root/written; sync; done"


def start_writing(cloud: CloudForTests, server: Any) -> None:
    cloud.in_guest(server, f"trap '' HUP; ({WRITER}) </dev/null >/dev/null 2>&1 & exit 0")


def written(cloud: CloudForTests, server: Any) -> list[int]:
    """Return what the guest's disk has of the numbers, of which none may be lost."""
    said = cloud.in_guest(
        server, "sync; echo 3 >/proc/sys/vm/drop_caches; grep -c . /root/written; cat /root/written"
    )
    count, *numbers = [int(each) for each in said.split()]
    assert numbers[:count] == list(range(1, count + 1))
    return numbers


def assert_goes_on_writing(cloud: CloudForTests, server: Any) -> None:
    numbers = len(written(cloud, server))
    assert len(written(cloud, server)) > numbers


@contextlib.contextmanager
def pinging(address: str) -> Iterator[Callable[[], tuple[int, int]]]:
    """Ping five times a second within the block; the function ends it: (sent, lost)."""
    with subprocess.Popen(
        ["ping", "-n", "-i", "0.2", address], stdout=subprocess.PIPE, text=True
    ) as ping:

        def ended() -> tuple[int, int]:
            ping.send_signal(signal.SIGINT)
            said, _ = ping.communicate(timeout=30)
            counts = re.search(r"(\d+) packets transmitted, (\d+) received", said)
            assert counts, said
            return int(counts[1]), int(counts[1]) - int(counts[2])

        try:
            yield ended
        finally:
            ping.kill()


def migrate(cloud: CloudForTests, server: Any, host: str | None = None) -> None:
    cloud.admin.compute.live_migrate_server(server.id, host=host, block_migration="auto")


def record(cloud: CloudForTests, server: Any) -> dict[str, Any]:
    """Return the server's latest migration, as administrators are shown it."""
    path = f"/os-migrations?instance_uuid={server.id}"
    answer = cloud.admin.compute.get(path, microversion="2.59").json()
    found: dict[str, Any] = answer["migrations"][0]
    return found


def under_way(cloud: CloudForTests, server: Any) -> dict[str, Any] | None:
    path = f"/servers/{server.id}/migrations"
    found: list[dict[str, Any]] = cloud.admin.compute.get(path, microversion="2.80").json()[
        "migrations"
    ]
    return found[0] if found else None


def left(cloud: CloudForTests, host: str, server: Any) -> list[str]:
    """Return what a host has of the server: folder, domain, taps' rules."""
    command = (
        f"ls -d {FOLDERS}/{server.id}*; virsh list --all --name | grep {server.id}; "
        f"ls /var/lib/novella/networks/*/dhcp-hosts"
    )
    printed = cloud.on_host(host, "sh", "-c", command, check=False).stdout
    port = next(iter(cloud.tenant.network.ports(device_id=server.id))).id
    return [line for line in printed.splitlines() if server.id in line or port in line]


def running_on(cloud: CloudForTests, server: Any) -> list[str]:
    """Return the hosts where the server's domain runs."""
    listed = {name: cloud.on_host(name, "virsh", "list", "--name").stdout for name in HOSTS}
    return [name for name, said in listed.items() if server.id in said]


def test_a_guest_that_writes_and_answers_pings_moves_and_loses_nothing(
    cloud: CloudForTests, capsys: pytest.CaptureFixture[str]
) -> None:
    server = cloud.boot("to-live-migrate", config_drive=True)
    try:
        start_writing(cloud, server)
        source, address = cloud.host_of(server), cloud.address(server)
        drive = cloud.in_guest(server, "mkdir -p /mnt; md5sum /dev/sr0 | cut -c1-32")
        with pinging(address) as end_of_pings:
            migrate(cloud, server)
            cloud.settle(server)
            sent, lost = end_of_pings()
        moved = record(cloud, server)
        assert (moved["status"], moved["migration_type"]) == ("completed", "live-migration")
        dest = cloud.host_of(server)
        assert dest != source
        assert running_on(cloud, server) == [dest]
        assert left(cloud, source, server) == []
        assert_goes_on_writing(cloud, server)
        assert cloud.address(server) == address
        assert cloud.in_guest(server, "md5sum /dev/sr0 | cut -c1-32") == drive
        assert lost < sent / 2
        said = f"{downtime_ms(cloud, server)} ms down, {lost} of {sent} pings lost"
        with capsys.disabled():
            sys.stdout.write(f"\nlive migration: {said}\n")
        cloud.tenant.compute.reboot_server(server.id, "HARD")
        cloud.settle(server)
        assert running_on(cloud, server) == [dest]
    finally:
        cloud.delete(server)
    assert [each for host in HOSTS for each in left_of(cloud, host, server)] == []


def left_of(cloud: CloudForTests, host: str, server: Any) -> list[str]:
    command = f"ls -d {FOLDERS}/{server.id}*; virsh list --all --name | grep {server.id}"
    return cloud.on_host(host, "sh", "-c", command, check=False).stdout.split()


def downtime_ms(cloud: CloudForTests, server: Any) -> int:
    path = cloud.cloud.config.parent / "controller" / "novella.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        query = "select progress from migrations where server_id = ? order by id desc limit 1"
        ((progress,),) = database.execute(query, (server.id,)).fetchall()
    return int(re.findall(r'"downtime_ms": (\d+)', progress)[0])


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["abort", "failure"])
def test_a_migration_that_is_aborted_or_fails_leaves_the_guest_at_its_source(
    cloud: CloudForTests, ending: str
) -> None:
    server = cloud.boot(f"to-{ending}")
    try:
        start_writing(cloud, server)
        source = cloud.host_of(server)
        (dest,) = set(HOSTS) - {source}
        begin_slowly(cloud, server, source, dest)
        shown = under_way(cloud, server)
        assert shown is not None
        assert (shown["status"], shown["dest_compute"]) == ("running", dest)
        path = f"/servers/{server.id}/migrations/{shown['id']}"
        if ending == "abort":
            answer = cloud.admin.compute.delete(path, microversion="2.80")
            assert answer.status_code == 202, answer.text
        else:
            cloud.on_host(dest, "pkill", "-9", "-f", f"qemu-system.*{server.id}")
        cloud.settle(server, timeout_s=300)
        expected = {"abort": "cancelled", "failure": "failed"}[ending]
        assert record(cloud, server)["status"] == expected
        assert cloud.host_of(server) == source
        assert running_on(cloud, server) == [source]
        assert left(cloud, dest, server) == []
        assert_goes_on_writing(cloud, server)
    finally:
        cloud.delete(server)


@pytest.mark.slow
def test_a_paused_guest_moves_and_goes_on_where_it_is_then(cloud: CloudForTests) -> None:
    server = cloud.boot("to-move-paused")
    try:
        before, source = leave_mark(cloud, server), cloud.host_of(server)
        (dest,) = set(HOSTS) - {source}
        cloud.tenant.compute.pause_server(server)
        cloud.settle(server, "PAUSED")
        migrate(cloud, server)
        cloud.settle(server, "PAUSED")
        assert record(cloud, server)["status"] == "completed"
        assert (cloud.host_of(server), running_on(cloud, server)) == (dest, [dest])
        assert cloud.on_host(dest, "virsh", "domstate", server.id).stdout.strip() == "paused"
        assert left(cloud, source, server) == []
        cloud.tenant.compute.unpause_server(server)
        cloud.settle(server)
        # The same boot: it went on from where it stood.
        assert look(cloud, server) == before
    finally:
        cloud.delete(server)


# More than all the memory that the guest has.
ROUND_BYTES = 128 << 20
# Memory changes faster than it is brought over: zeroes would cost nothing to bring.
DIRTIER = (
    "mkdir -p /ram; mount -t tmpfs none /ram; while :; do "
    "tr '\\0' x </dev/zero | dd of=/ram/x bs=64k count=480 conv=notrunc 2>/dev/null; "
    "tr '\\0' y </dev/zero | dd of=/ram/x bs=64k count=480 conv=notrunc 2>/dev/null; done"
)


@pytest.mark.slow
def test_a_migration_that_does_not_end_by_itself_is_forced_to(
    cloud: CloudForTests, capsys: pytest.CaptureFixture[str]
) -> None:
    server = cloud.boot("to-force")
    try:
        start_writing(cloud, server)
        cloud.in_guest(server, f"trap '' HUP; ({DIRTIER}) </dev/null >/dev/null 2>&1 & exit 0")
        source = cloud.host_of(server)
        (dest,) = set(HOSTS) - {source}
        set_speed(cloud, source, server, mib_per_s=4)
        migrate(cloud, server, dest)

        wait_until(
            lambda: (under_way(cloud, server) or {}).get("memory_processed_bytes", 0) > ROUND_BYTES,
            what="its memory goes round", timeout_s=240, interval_s=0.5,
        )  # fmt: skip
        shown = under_way(cloud, server)
        assert shown is not None
        assert shown["status"] == "running"
        path = f"/servers/{server.id}/migrations/{shown['id']}/action"
        answer = cloud.admin.compute.post(path, json={"force_complete": None}, microversion="2.22")
        assert answer.status_code == 202, answer.text
        cloud.settle(server, timeout_s=300)
        assert record(cloud, server)["status"] == "completed"
        assert running_on(cloud, server) == [cloud.host_of(server)] == [dest]
        assert left(cloud, source, server) == []
        assert_goes_on_writing(cloud, server)
        with capsys.disabled():
            sys.stdout.write(f"\nforced to complete: {downtime_ms(cloud, server)} ms down\n")
    finally:
        cloud.delete(server)


@pytest.mark.slow
def test_a_migration_whose_worker_is_killed_ends_on_one_host(cloud: CloudForTests) -> None:
    server = cloud.boot("to-orphan")
    try:
        start_writing(cloud, server)
        source = cloud.host_of(server)
        (dest,) = set(HOSTS) - {source}
        begin_slowly(cloud, server, source, dest)
        kill_workers(cloud, workers_of(cloud))
        # What is under way on the hosts may end, or be called off; it need not take minutes.
        set_speed(cloud, source, server, mib_per_s=1024)
        cloud.settle(server, timeout_s=300)
        status, now = record(cloud, server)["status"], cloud.host_of(server)
        assert (status, now) in {("completed", dest), ("failed", source), ("cancelled", source)}
        assert running_on(cloud, server) == [now]
        (other,) = set(HOSTS) - {now}
        assert left(cloud, other, server) == []
        assert_goes_on_writing(cloud, server)
    finally:
        cloud.delete(server)
    assert [each for host in HOSTS for each in left_of(cloud, host, server)] == []


def begin_slowly(cloud: CloudForTests, server: Any, source: str, dest: str) -> None:
    """Migrate it so slowly that there is a middle; return when that has come."""
    set_speed(cloud, source, server, mib_per_s=1)
    migrate(cloud, server, dest)
    wait_until(
        lambda: (under_way(cloud, server) or {}).get("disk_processed_bytes", 0) > 0,
        what="its disk is on its way", timeout_s=120, interval_s=0.5,
    )  # fmt: skip


def set_speed(cloud: CloudForTests, host: str, server: Any, mib_per_s: int) -> None:
    """Bound how fast it is migrated; a server that is there no more is past it."""
    domain, speed = f"novella-{server.id}", str(mib_per_s)
    cloud.on_host(host, "virsh", "migrate-setspeed", domain, speed, check=False)
