"""Fixtures that several kinds of test share; the lab's are made once for the whole run."""

pytest_plugins = ["tests.fixtures.cloud", "tests.fixtures.database_servers"]
