"""Chaos, the short form: what is accepted ends, whatever is killed. `make chaos` is the long."""

import secrets

import pytest
import yaml

from lab.chaos.api import Credentials
from lab.chaos.clouds import blank_server
from lab.chaos.run import Plan, run
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab


def test_nothing_that_was_accepted_is_lost_whatever_is_killed(cloud: CloudForTests) -> None:
    seed = secrets.randbelow(1 << 20)
    plan = Plan(
        operations=14,
        kills=7,
        pause_s=(1.0, 4.0),
        actors=3,
        seed=seed,
        timeout_s=900,
        weights={"worker": 2, "api": 1, "fork-server": 1, "ssh": 1, "libvirtd": 1, "host": 1},
    )
    entries = yaml.safe_load(cloud.cloud.clouds_yaml.read_text())["clouds"]
    auth = entries["admin"]["auth"]
    credentials = Credentials(auth["username"], auth["password"], auth["project_name"])
    report = run([cloud.cloud], credentials, blank_server(cloud.cloud, "admin"), plan)
    assert report.passed, report.as_text()
    assert len(report.asked) >= plan.operations
    assert not report.spared, report.as_text()
