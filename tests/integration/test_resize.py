"""A real guest is resized to another host, reverted, and resized for good."""

from tests.fixtures.cloud import CloudForTests

FOLDERS = "/var/lib/novella/instances"


def of_server(cloud: CloudForTests, host: str, server_id: str) -> list[str]:
    """Return what a host has of the server: folders, its domain, its export."""
    command = (
        f"ls -d {FOLDERS}/{server_id}* /var/lib/novella/moves/{server_id}*; "
        f"virsh list --all --name | grep {server_id}; "
        f"pgrep -f -l 'qemu-storage-daemon.*[{server_id[0]}]{server_id[1:]}'"
    )
    printed = cloud.on_host(host, "sh", "-c", command, check=False).stdout
    return [line for line in printed.splitlines() if line.strip()]


def test_a_resize_keeps_disk_and_address_and_can_be_reverted(cloud: CloudForTests) -> None:
    server = cloud.boot("to-resize")
    try:
        cloud.in_guest(server, "echo written before > /root/kept; sync")
        source, address = cloud.host_of(server), cloud.address(server)
        small = cloud.tenant.compute.find_flavor("m1.small", ignore_missing=False)

        for ending in ("revert", "confirm"):
            cloud.tenant.compute.resize_server(server.id, small)
            cloud.settle(server, "VERIFY_RESIZE")
            dest = cloud.host_of(server)
            assert dest != source
            assert of_server(cloud, source, server.id) == [f"{FOLDERS}/{server.id}_resize"]
            kept = cloud.in_guest(server, "cat /root/kept; cat /sys/block/vda/size")
            assert kept.split("\n")[:2] == ["written before", str(5 << 21)]
            assert cloud.address(server) == address
            if ending == "revert":
                cloud.in_guest(server, "echo at the new size > /root/kept; sync")
                cloud.tenant.compute.revert_server_resize(server.id)
                gone = dest
            else:
                cloud.tenant.compute.confirm_server_resize(server.id)
                gone = source
            cloud.settle(server)
            assert of_server(cloud, gone, server.id) == []
            assert "written before" in cloud.in_guest(server, "cat /root/kept")
        assert cloud.host_of(server) == dest
    finally:
        cloud.delete(server)
    for host in (source, dest):
        assert of_server(cloud, host, server.id) == []
