"""`domain_size.py` on libvirt's own test driver: within what the domain was started with."""

from collections.abc import Iterator
from typing import Any

import libvirt
import pytest

from ansible_collections.novella.cloud.plugins.module_utils import domain_size, work

# The driver's one domain: 2 vCPUs, 2 GiB of 8.
DOMAIN_ID = "6695eb01-f6a4-8304-79aa-97f2502e193f"


@pytest.fixture
def domain() -> Iterator[Any]:
    """The driver forgets all with its last connection."""
    connection = libvirt.open("test:///default")
    yield connection.lookupByUUIDString(DOMAIN_ID)
    connection.close()


def bring(*, check_mode: bool = False, **wanted: int) -> Any:
    params = {
        "server_id": DOMAIN_ID, "uri": "test:///default", "override": True,
        "vcpus": 2, "memory_mb": 2048, "timeout_s": 1, **wanted,
    }  # fmt: skip
    return domain_size.run(params, check_mode)


def test_a_running_domain_gets_its_sizes_once(domain: Any) -> None:
    domain.setVcpusFlags(1, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    wanted = {"vcpus": 2, "memory_mb": 4096}
    assert bring(check_mode=True, **wanted)["changed"]
    assert (domain.info()[2] >> 10, domain.info()[3]) == (2048, 1)
    done = bring(**wanted)
    assert (done["changed"], done["size"]) == (True, wanted)
    assert (domain.info()[2] >> 10, domain.info()[3]) == (4096, 2)
    assert not bring(**wanted)["changed"]
    assert bring()["changed"]


def test_a_running_domain_keeps_the_vcpus_that_it_has(domain: Any) -> None:
    assert not bring(vcpus=1)["changed"]
    assert domain.info()[3] == 2


@pytest.mark.parametrize("wanted", [{"vcpus": 3}, {"memory_mb": 8193}, {"vcpus": 0}])
def test_more_than_it_was_started_with_is_refused(domain: Any, wanted: dict[str, int]) -> None:
    with pytest.raises(work.WorkError, match="as the most"):
        bring(**wanted)
    assert (domain.info()[2] >> 10, domain.info()[3]) == (2048, 2)


def test_a_domain_that_is_off_is_left_alone(domain: Any) -> None:
    domain.destroy()
    assert not bring(vcpus=1)["changed"]
