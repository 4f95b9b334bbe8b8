"""`domain_power.py`: waiting for guests, the slow and the deaf ones, on libvirt's test driver."""

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import domain_power, work

TIMES = {"start_timeout_s": 5, "shutdown_timeout_s": 0.6, "shutdown_interval_s": 0.2}


@pytest.fixture
def domain() -> Iterator[Any]:
    """The domain `test` that the driver always has, running."""
    import libvirt

    connection = libvirt.open("test:///default")
    yield connection.lookupByName("test")
    connection.close()


class Deaf:
    """A domain whose guest hears no power button; all else is libvirt's."""

    def __init__(self, domain: Any) -> None:
        self.domain = domain
        self.presses = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.domain, name)

    def shutdownFlags(self, _flags: int) -> None:  # noqa: N802 - libvirt's name
        self.presses += 1


def test_deaf_guest_is_asked_again_then_cut_off(domain: Any) -> None:
    deaf = Deaf(domain)
    domain_power.stop(deaf, TIMES)
    assert deaf.presses == 3
    assert domain_power.state_of(domain) == "stopped"


def test_no_time_means_no_question(domain: Any) -> None:
    deaf = Deaf(domain)
    domain_power.stop(deaf, TIMES | {"shutdown_timeout_s": 0})
    assert deaf.presses == 0
    assert domain_power.state_of(domain) == "stopped"


def test_paused_guest_is_cut_off_at_once(domain: Any) -> None:
    domain.suspend()
    deaf = Deaf(domain)
    domain_power.stop(deaf, TIMES)
    assert deaf.presses == 0
    assert domain_power.state_of(domain) == "stopped"


def test_deaf_guest_is_restarted_all_the_same(domain: Any) -> None:
    domain_power.restart(Deaf(domain), TIMES)
    assert domain_power.state_of(domain) == "running"


def test_guest_that_is_off_is_just_started(domain: Any) -> None:
    domain.destroy()
    deaf = Deaf(domain)
    domain_power.restart(deaf, TIMES)
    assert deaf.presses == 0
    assert domain_power.state_of(domain) == "running"


def test_domain_that_goes_off_again_is_an_error_at_once(domain: Any) -> None:
    class Dying(Deaf):
        def create(self) -> None:
            """QEMU ends as soon as it has started."""

    domain.destroy()
    with pytest.raises(work.WorkError, match=r"did not come to run.*it is stopped"):
        domain_power.start(Dying(domain), TIMES | {"start_timeout_s": 600})


def test_destroy_and_remove_of_what_is_off_are_fine(domain: Any) -> None:
    domain.destroy()
    domain_power.destroy(domain)
    connection = domain.connect()
    domain_power.remove(connection, domain.UUIDString(), keep_nvram=True)
    domain_power.remove(connection, domain.UUIDString(), keep_nvram=True)
    assert domain_power.state_of(domain) == "absent"
