"""`domain_memory.py`: what is held, saved and gone on from, on libvirt's test driver."""

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import domain_memory, domain_power, work

PARAMS = {"start_timeout_s": 5, "shutdown_timeout_s": 0, "shutdown_interval_s": 0.2}
FROM_MEMORY = {**PARAMS, "start_from": "memory"}


@pytest.fixture
def domain() -> Iterator[Any]:
    """The domain `test` that the driver always has, running."""
    import libvirt

    connection = libvirt.open("test:///default")
    yield connection.lookupByName("test")
    connection.close()


def bring(state: str, domain: Any, params: dict[str, Any] = PARAMS, *, check: bool = False) -> Any:
    outcome = domain_power.bring_to(state, domain, params, check)
    return outcome.state, outcome.changed


def test_a_pause_and_what_follows_change_something_once(domain: Any) -> None:
    assert bring("paused", domain, check=True) == ("paused", True)
    assert domain_power.state_of(domain) == "running"
    assert bring("paused", domain) == ("paused", True)
    assert bring("paused", domain) == ("paused", False)
    assert bring("running", domain, FROM_MEMORY) == ("running", True)
    assert bring("running", domain, FROM_MEMORY) == ("running", False)


def test_saved_memory_is_gone_on_from_once(domain: Any) -> None:
    assert bring("saved", domain, check=True) == ("stopped", True)
    assert bring("saved", domain) == ("stopped", True)
    assert domain_memory.is_saved(domain)
    assert bring("saved", domain) == ("stopped", False)
    assert bring("running", domain, FROM_MEMORY) == ("running", True)
    assert not domain_memory.is_saved(domain)


@pytest.mark.parametrize("state", ["paused", "saved", "running"])
def test_a_guest_that_is_off_has_no_memory(state: str, domain: Any) -> None:
    domain.destroy()
    with pytest.raises(work.WorkError, match=r"it is stopped, and no memory of it is saved"):
        bring(state, domain, FROM_MEMORY)
    assert domain_power.state_of(domain) == "stopped"


@pytest.mark.parametrize("state", ["paused", "saved", "running"])
def test_a_domain_that_is_not_there_has_no_memory(state: str) -> None:
    with pytest.raises(work.WorkError, match=r"it is absent"):
        bring(state, None, FROM_MEMORY)


def test_a_start_forgets_what_was_saved_before(domain: Any) -> None:
    """A rebuild may have made other disks since."""
    bring("saved", domain)
    assert bring("running", domain) == ("running", True)
    assert not domain_memory.is_saved(domain)


def test_to_be_cut_off_is_to_lose_the_saved_memory(domain: Any) -> None:
    bring("saved", domain)
    assert bring("destroyed", domain, check=True) == ("stopped", True)
    assert domain_memory.is_saved(domain)
    assert bring("destroyed", domain) == ("stopped", True)
    assert not domain_memory.is_saved(domain)
    assert bring("destroyed", domain) == ("stopped", False)


def test_a_stop_of_what_is_saved_leaves_it(domain: Any) -> None:
    bring("saved", domain)
    assert bring("stopped", domain) == ("stopped", False)
    assert domain_memory.is_saved(domain)
