"""Where leftovers may be removed, after an audit has asked the hosts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from controller.core import hosts, reaping
from controller.db.session import Database
from tests.fixtures import schema


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/x.db")
    schema.make(made)
    yield made
    made.dispose()


def test_a_round_reads_of_the_hosts_only_what_it_decides_by(db: Database) -> None:
    with db.write() as session:
        ids = [
            hosts.enroll_record(
                session, name, "192.0.2.1", host_keys=["ssh-ed25519 AAAA"], variables={}
            ).id
            for name in ("h1", "h2", "h3")
        ]
    seen: list[str] = []

    @event.listens_for(db.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    with db.write() as session:
        off = reaping.take_in(session, {ids[0]: "newer runs"}, {ids[0], ids[1]})
    assert off == {ids[0], ids[2]}
    # One look, and one change for each host where it is off now.
    assert len([each for each in seen if "SELECT" in each]) == 1
    assert not [each for each in seen if "host_keys" in each or "facts" in each]
