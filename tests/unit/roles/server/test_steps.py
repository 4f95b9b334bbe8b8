"""The order of the steps of booting, which is a promise: rules before the domain, disks first."""

from itertools import pairwise
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader

from plugins.plugin_utils import steps_file

TASKS = Path(__file__).resolve().parents[4] / "roles" / "server" / "tasks"
# A step comes before all those on its right.
ORDER = ("qcow2_disk", "linux_bridge", "network_namespace", "port_filter", "libvirt_domain")


def modules(operation: str) -> list[str]:
    """Return the modules that the steps of `operation` run, in order."""
    path = str(TASKS / "steps" / f"{operation}.yml")
    tasks = _flat(steps_file.read(DataLoader(), path, str(TASKS)))
    return [task.module.removeprefix("novella.cloud.") for task in tasks]


def _flat(tasks: tuple[steps_file.Task, ...]) -> list[steps_file.Task]:
    return [one for task in tasks for one in (_flat(task.included) if task.included else [task])]


def test_a_create_makes_disks_then_the_network_then_rules_then_the_domain() -> None:
    steps = modules("server_create")
    assert steps[-1] == "libvirt_domain"
    assert [each for each in dict.fromkeys(steps) if each in ORDER] == list(ORDER)
    places = {name: [at for at, each in enumerate(steps) if each == name] for name in ORDER}
    for earlier, later in pairwise(ORDER):
        assert max(places[earlier]) < min(places[later])


def test_a_start_makes_again_all_that_a_host_may_have_lost() -> None:
    assert modules("server_start") == modules("server_create")


def test_a_hard_reboot_looks_for_the_disks_cuts_off_and_starts() -> None:
    looks = ["qcow2_disk", "qcow2_disk"]
    assert modules("server_hard_reboot") == [*looks, "libvirt_domain", *modules("server_start")]


def test_a_resume_makes_again_what_a_boot_of_the_host_took() -> None:
    assert modules("server_restore") == modules("server_start")
    # What was saved with the guest's memory has the name that the server had then.
    assert modules("server_resume") == [*modules("server_start"), "domain_mark"]


@pytest.mark.parametrize(
    "operation",
    [
        "server_stop",
        "server_reboot",
        "server_pause",
        "server_unpause",
        "server_suspend",
        "server_soft_delete",
    ],
)
def test_a_stop_a_pause_and_the_like_touch_the_domain_alone(operation: str) -> None:
    assert modules(operation) == ["libvirt_domain"]


def test_a_delete_ends_the_domain_before_its_rules_and_disks_go() -> None:
    steps = modules("server_delete")
    assert steps[0] == "libvirt_domain"
    assert steps.index("port_filter") < steps.index("instance_directory")


def test_a_ports_rules_are_there_before_its_card_is_plugged_in_and_as_long_as_it_is() -> None:
    attach, detach = modules("server_attach_interface"), modules("server_detach_interface")
    assert attach[-1] == "libvirt_domain"
    assert attach.index("port_filter") < attach.index("libvirt_domain")
    assert detach[0] == "libvirt_domain"
    assert "port_filter" in detach


def test_converging_looks_at_all_that_a_start_does() -> None:
    assert modules("server_converge") == modules("server_start")
