"""`host_audit_info.py`: what there is of ours is listed; what can't be read is said."""

import json
from pathlib import Path

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    fence,
    host_audit_files,
    host_audit_info,
    host_audit_network,
    instance_directory,
    network_files,
    work,
)
from tests.unit.plugins.module_utils.disk_files import SERVER_ID

CLOUD_ID = "3f0c0000-0000-4000-8000-000000000000"
NETWORK_ID = "aa2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
PORT_ID = "0a1b2c3d-4e5f-4d5e-9b5c-0f4d4b5d6a10"
SAVED = {
    "iptables-save": """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:nv-forward - [0:0]
:nv-ingress - [0:0]
:nv-i-0a1b2c3d4e5 - [0:0]
:OPERATORS - [0:0]
-A FORWARD -j nv-forward
-A nv-ingress -m physdev --physdev-out nvt0a1b2c3d4e5 -g nv-i-0a1b2c3d4e5
-A nv-ingress -j DROP
COMMIT
""",
    "ip6tables-save": "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
    "ebtables-nft-save": "*nat\n:PREROUTING ACCEPT\n*filter\n:INPUT ACCEPT\n",
    "ipset": "create nvs4-0a1b hash:net family inet\nadd nvs4-0a1b 192.0.2.1\n"
    "create operators hash:net\n",
    "ip": json.dumps(
        [
            {"ifname": "lo"},
            {"ifname": "nvt0a1b2c3d4e5", "master": "nvbaa2cbb634f7"},
            {"ifname": "nvbaa2cbb634f7"},
        ]
    ),
}


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the host's programs print; unit tests have no host."""
    monkeypatch.setattr(work, "run_command", lambda argv, **_: SAVED[argv[0]])
    monkeypatch.setattr(host_audit_network, "NETNS_FOLDER", str(tmp_path / "netns"))
    monkeypatch.setattr(network_files, "CLAIMS", str(tmp_path / "claims"))
    monkeypatch.setattr(host_audit_network.service_units, "listed", lambda _backend: ["dhcp-x"])
    monkeypatch.setattr(
        host_audit_network.service_units, "status", lambda *_: {"state": "up", "pid": 7}
    )
    (tmp_path / "netns").mkdir()
    (tmp_path / "netns" / f"nvn-{NETWORK_ID}").touch()
    (tmp_path / "netns" / "operators").touch()
    network_files.claim("nvbaa2cbb634f7", [PORT_ID])


def audit(state_path: Path) -> dict:
    params = {"state_path": str(state_path), "service_backend": "auto", "uri": "test:///nothing"}
    result = host_audit_info.run(params, check_mode=True)
    assert result["changed"] is False
    return result["audit"]


def test_interfaces_rules_and_services_are_ours_alone(state_path: Path) -> None:
    found = audit(state_path)
    assert found["links"] == [
        {"name": "nvbaa2cbb634f7", "kind": "bridge", "bridge": None},
        {"name": "nvt0a1b2c3d4e5", "kind": "tap", "bridge": "nvbaa2cbb634f7"},
    ]
    assert found["namespaces"] == [NETWORK_ID]
    assert found["claims"] == [{"bridge": "nvbaa2cbb634f7", "port_id": PORT_ID}]
    assert found["sets"] == [{"name": "nvs4-0a1b", "members": 1}]
    assert found["services"] == [{"name": "dhcp-x", "state": "up"}]
    chains = {(one["table"], one["name"]): one for one in found["chains"]}
    assert chains["iptables", "nv-ingress"]["taps"] == ["nvt0a1b2c3d4e5"]
    assert ("iptables", "nv-i-0a1b2c3d4e5") in chains
    assert ("iptables", "OPERATORS") not in chains
    assert chains["iptables", "INPUT"]["missing_jump"] == "-I INPUT 1 -j nv-input"
    assert ("iptables", "FORWARD") not in chains


def test_routers_and_ways_out_are_told_with_what_they_join(
    state_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    router, external = PORT_ID, SERVER_ID
    (tmp_path / "netns" / f"nvr-{router}").touch()
    (tmp_path / "netns" / f"nve-{external}").touch()
    inside = {
        f"nvr-{router}": ["lo", "leg5c2cbb634f7", "uplink"],
        f"nve-{external}": ["lo", "external", "rt0a1b2c3d4e5"],
    }
    real = host_audit_network.network_links.links

    def links(netns: str | None = None) -> dict:
        return {name: {"ifname": name} for name in inside[netns]} if netns else real()

    monkeypatch.setattr(host_audit_network.network_links, "links", links)
    found = audit(state_path)
    assert found["routers"] == [{"id": router, "legs": ["nvr5c2cbb634f7"], "external": [external]}]
    assert found["external_networks"] == [external]


def test_a_part_that_cannot_be_read_is_none_and_says_why(state_path: Path) -> None:
    found = audit(state_path)
    assert found["domains"] is None
    assert "libvirt" in found["unread"]["domains"]


def test_files_are_listed_with_their_sizes_and_never_their_content(state_path: Path) -> None:
    files = network_files.NetworkFiles(NETWORK_ID, str(state_path))
    for folder in (files.dhcp_hosts, files.metadata):
        Path(folder).mkdir(parents=True)
    Path(files.dhcp_host(PORT_ID)).write_text("fa:16:3e:00:00:01,192.0.2.100,web\n")
    (Path(files.metadata) / "192.0.2.100.json").write_text("canary-pass")
    instance_directory.run(
        {"id": SERVER_ID, "state": "present", "state_path": str(state_path)}, False
    )
    disk = state_path / "instances" / SERVER_ID / "disk"
    disk.write_bytes(b"x" * 5000)
    fence.claim(str(state_path), fence.Claim(SERVER_ID, CLOUD_ID, 3))
    found = audit(state_path)
    assert found["networks"] == [NETWORK_ID]
    assert found["dhcp_hosts"] == [
        {
            "network_id": NETWORK_ID,
            "port_id": PORT_ID,
            "lines": ["fa:16:3e:00:00:01,192.0.2.100,web"],
        }
    ]
    assert found["metadata"] == [{"network_id": NETWORK_ID, "address": "192.0.2.100"}]
    assert "canary" not in json.dumps(found)
    [folder] = found["folders"]
    assert (folder["name"], folder["server_id"]) == (SERVER_ID, SERVER_ID)
    assert [(one["name"], one["size_bytes"]) for one in folder["files"]] == [("disk", 5000)]
    assert found["fences"] == [{"server_id": SERVER_ID, "owner": CLOUD_ID, "generation": 3}]


def test_a_fence_that_cannot_be_read_is_listed_without_an_owner(state_path: Path) -> None:
    fence.claim(str(state_path), fence.Claim(SERVER_ID, CLOUD_ID, 3))
    Path(fence.record_path(str(state_path), SERVER_ID)).write_text("{")
    assert host_audit_files.fences(str(state_path)) == [
        {"server_id": SERVER_ID, "owner": None, "generation": None}
    ]


def test_a_list_that_is_too_long_is_cut_and_says_so(
    state_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_audit_info, "LIST_MAX", 1)
    found = audit(state_path)
    assert len(found["links"]) == 1
    assert "links" in found["truncated"]
