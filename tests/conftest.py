"""Fixtures that several kinds of test share; the lab's are made once for the whole run."""

import pytest

pytest_plugins = ["tests.fixtures.cloud", "tests.fixtures.database_servers"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what shares the cloud: these tests run beside those that make labs of their own."""
    for item in items:
        if item.get_closest_marker("lab") and "cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cloud)
