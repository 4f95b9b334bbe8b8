"""Diagnostics and topology of servers."""

import subprocess
from typing import Any

import pytest

from controller import host_names
from controller.api.common.calls import Services
from controller.console import host_reads
from controller.db.models import Host, Port
from controller.errors import Unavailable
from tests.api.compute.conftest import SERVERS, at

# As libvirt 9 says it, but for the tap's name.
SAID = """Domain: 'novella'
  state.state={state}
  cpu.time=3500000000
  balloon.current=131072
  balloon.maximum=131072
  balloon.rss=65536
  vcpu.current=1
  vcpu.0.state=1
  vcpu.0.time=3400000000
  net.count=1
  net.0.name={tap}
  net.0.rx.bytes=10
  net.0.rx.pkts=1
  net.0.rx.errs=0
  net.0.rx.drop=0
  net.0.tx.bytes=20
  net.0.tx.pkts=2
  net.0.tx.errs=0
  net.0.tx.drop=many
  block.count=1
  block.0.name=vda
  block.0.rd.reqs=5
  block.0.rd.bytes=512
  block.0.wr.reqs=6
  block.0.wr.bytes=1024
"""


@pytest.fixture
def port(services: Services, server: str) -> Port:
    with services.db.read() as session:
        return session.query(Port).filter_by(device_id=server).one()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, port: Port) -> list[tuple[str, ...]]:
    """The questions that hosts were asked; their answer is SAID."""
    found: list[tuple[str, ...]] = []

    def ask(_settings: Any, _host: Any, _what: str, *words: str) -> Any:
        found.append(words)
        said = SAID.format(tap=host_names.tap(port.id), state=1)
        return subprocess.CompletedProcess(words, 0, said.encode(), b"")

    monkeypatch.setattr(host_reads, "ask", ask)
    return found


def test_diagnostics_have_one_shape_from_2_48(
    admin: Any, server: str, asked: list[tuple[str, ...]], port: Port
) -> None:
    shown = admin.get(f"{SERVERS}/{server}/diagnostics", headers=at("2.48"))
    assert (shown.status_code, shown.json) == (200, {
        "state": "running", "driver": "libvirt", "hypervisor": "qemu", "hypervisor_os": "linux",
        "uptime": 3, "config_drive": False, "num_cpus": 1, "num_nics": 1, "num_disks": 1,
        "memory_details": {"maximum": 128, "used": 64},
        "cpu_details": [{"id": 0, "time": 3400000000, "utilisation": None}],
        "nic_details": [{
            "mac_address": port.mac_address, "rx_rate": None, "tx_rate": None,
            "rx_octets": 10, "rx_packets": 1, "rx_errors": 0, "rx_drop": 0,
            "tx_octets": 20, "tx_packets": 2, "tx_errors": 0, "tx_drop": None,
        }],
        "disk_details": [{
            "read_bytes": 512, "read_requests": 5, "write_bytes": 1024, "write_requests": 6,
            "errors_count": None,
        }],
    })  # fmt: skip
    assert asked == [("virsh", "--readonly", "domstats", "--raw", f"novella-{server}")]


def test_before_they_were_the_hypervisors_own(
    admin: Any, server: str, asked: list[tuple[str, ...]], port: Port
) -> None:
    tap = host_names.tap(port.id)
    shown = admin.get(f"{SERVERS}/{server}/diagnostics", headers=at("2.47"))
    assert (shown.status_code, shown.json) == (200, {
        "cpu0_time": 3400000000, "memory": 131072, "memory-current": 131072, "memory-rss": 65536,
        "vda_read": 512, "vda_read_req": 5, "vda_write": 1024, "vda_write_req": 6,
        f"{tap}_rx": 10, f"{tap}_rx_packets": 1, f"{tap}_rx_errors": 0, f"{tap}_rx_drop": 0,
        f"{tap}_tx": 20, f"{tap}_tx_packets": 2, f"{tap}_tx_errors": 0,
    })  # fmt: skip


def test_a_guest_that_is_off_has_none(
    admin: Any, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = SAID.format(tap="x", state=5).encode()
    monkeypatch.setattr(
        host_reads, "ask", lambda *_words: subprocess.CompletedProcess((), 0, off, b"")
    )
    refused = admin.get(f"{SERVERS}/{server}/diagnostics")
    assert refused.status_code == 409
    assert "its guest is off" in refused.json["conflictingRequest"]["message"]


def test_a_host_that_is_away_is_503(
    admin: Any, server: str, monkeypatch: pytest.MonkeyPatch, host: Host
) -> None:
    def ask(*_words: Any) -> Any:
        raise Unavailable("Cannot read the diagnostics: its host does not answer.")

    monkeypatch.setattr(host_reads, "ask", ask)
    assert admin.get(f"{SERVERS}/{server}/diagnostics").status_code == 503


def test_a_server_on_no_host_has_none(admin: Any, alice: Any, a_server: Any) -> None:
    server = alice.post(SERVERS, json=a_server()).json["server"]["id"]
    assert admin.get(f"{SERVERS}/{server}/diagnostics").status_code == 409


def test_diagnostics_are_for_administrators(alice: Any, server: str) -> None:
    assert alice.get(f"{SERVERS}/{server}/diagnostics").status_code == 403


def test_a_server_has_no_numa_topology(alice: Any, bob: Any, rita: Any, server: str) -> None:
    path = f"{SERVERS}/{server}/topology"
    for caller in (alice, rita):
        shown = caller.get(path, headers=at("2.78"))
        assert (shown.status_code, shown.json) == (200, {"nodes": [], "pagesize_kb": None})
    assert alice.get(path, headers=at("2.77")).status_code == 404
    assert bob.get(path, headers=at("2.78")).status_code == 404
