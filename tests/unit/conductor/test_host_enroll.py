"""Enrolment: whom we talk to is pinned, and a host says what it has before it gets servers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.conductor import host_enroll
from controller.conductor.host_enroll import enroll, fingerprint_of
from controller.core import hosts
from controller.db.models import Host, Inventory
from controller.errors import BadRequest, Conflict, HostFailed
from tests.unit.conductor.conftest import Cloud

FIRST = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJOl9XmyLlrjnaIca7qpqY7hNjFiGzbWQZlkjC/vj112"
SECOND = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICFJkwt6RhKRJo7RwSfWweAbyQv6zLxfsSE32qJ/5cLO"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that the host shows; a test may change them."""
    keys = [FIRST]
    monkeypatch.setattr(host_enroll, "scan_keys", lambda _address, _port: list(keys))
    return keys


def do_enroll(cloud: Cloud, name: str = "h1", **options: Any) -> Host:
    key = cloud.settings.state_dir / "operator"
    key.write_text("the operator's")
    options.setdefault("private_key", key)
    return enroll(
        cloud.settings, cloud.db, name, "192.0.2.1", executor=cloud.executor,
        progress=lambda _line: None, **options,
    )  # fmt: skip


def test_a_host_is_pinned_prepared_and_known_by_what_it_has(cloud: Cloud, shown: list[str]) -> None:
    host = do_enroll(cloud, variables={"compute_flat_interfaces": {"physnet1": "eth1"}})
    assert cloud.playbooks() == ["host_enroll", "host_info"]
    first, second = cloud.executor.runs
    assert first.hosts[0].private_key == cloud.settings.state_dir / "operator"
    assert second.hosts[0].private_key == cloud.settings.ssh_dir / "id_ed25519"
    assert first.hosts[0].host_keys == second.hosts[0].host_keys == (FIRST,)
    public = (cloud.settings.ssh_dir / "id_ed25519.pub").read_text().strip()
    assert first.arguments == {"controller_public_key": public}
    known = cloud.host(host.id)
    assert hosts.is_up(known, cloud.settings)
    assert known.variables == {"compute_flat_interfaces": {"physnet1": "eth1"}}
    with cloud.db.read() as session:
        classes = {row.resource_class for row in session.query(Inventory)}
        assert classes == {"VCPU", "MEMORY_MB", "DISK_GB"}


def test_enrolling_again_refreshes_the_same_host(cloud: Cloud, shown: list[str]) -> None:
    first = do_enroll(cloud, variables={"a": 1})
    again = do_enroll(cloud, private_key=None)
    assert (again.id, again.variables) == (first.id, {"a": 1})
    # The controller is let in by now.
    assert cloud.executor.runs[2].hosts[0].private_key == cloud.settings.ssh_dir / "id_ed25519"
    assert do_enroll(cloud, variables={}).variables == {}


def test_a_host_with_other_keys_than_those_pinned_is_refused(
    cloud: Cloud, shown: list[str]
) -> None:
    do_enroll(cloud)
    shown[:] = [SECOND]
    with pytest.raises(Conflict, match="none of its SSH keys is the one that was pinned"):
        do_enroll(cloud)
    assert len(cloud.executor.runs) == 2


def test_a_fingerprint_chooses_the_key_or_refuses_the_host(cloud: Cloud, shown: list[str]) -> None:
    shown[:] = [FIRST, SECOND]
    with pytest.raises(Conflict, match="none of its keys has the fingerprint"):
        do_enroll(cloud, fingerprint="SHA256:nothing")
    host = do_enroll(cloud, fingerprint=fingerprint_of(SECOND))
    assert host.host_keys == [SECOND]


@pytest.mark.parametrize("name", ["all", "localhost", "a b", "{{ x }}", "-h", "", "a/b"])
def test_a_name_with_a_meaning_in_inventories_is_refused(
    cloud: Cloud, shown: list[str], name: str
) -> None:
    with pytest.raises(BadRequest, match="Cannot name a host"):
        do_enroll(cloud, name)


def test_an_unknown_driver_is_refused(cloud: Cloud, shown: list[str]) -> None:
    with pytest.raises(BadRequest, match="unknown compute_driver 'xen'"):
        do_enroll(cloud, compute_driver="xen")


def test_a_host_that_can_not_be_prepared_gets_no_servers(cloud: Cloud, shown: list[str]) -> None:
    cloud.executor.unreachable = {"h1"}
    with pytest.raises(HostFailed, match="host_enroll ended unreachable"):
        do_enroll(cloud)
    with cloud.db.read() as session:
        assert not hosts.is_up(hosts.get_by_name(session, "h1"), cloud.settings)


def test_facts_that_no_host_has_are_not_believed(cloud: Cloud, shown: list[str]) -> None:
    facts = {"cpus": -1, "memory_mb": 1024, "disk_gb": 10}
    with pytest.raises(HostFailed, match="facts could not be read"):
        do_enroll(cloud, variables={"simulated_facts": facts})


def test_nobody_at_the_address_is_told_so(cloud: Cloud) -> None:
    with pytest.raises(HostFailed, match="no SSH server showed a key on port 9"):
        enroll(
            replace(cloud.settings), cloud.db, "h1", "127.0.0.1", ssh_port=9,
            private_key=Path("/nonexistent"), executor=cloud.executor, progress=lambda _line: None,
        )  # fmt: skip
