"""The real application on a real database, and the people who call it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

from controller.api.common.calls import Services
from controller.app import build_app, build_services
from controller.core import tokens
from controller.core.bootstrap import bootstrap
from controller.core.passwords import hash_password
from controller.db.models import Base, Project, Role, RoleAssignment, User
from controller.db.session import Database
from controller.settings import Settings
from lab.database_servers import DatabaseServer
from tests.fixtures.database_servers import empty, read_rows, write_rows
from tests.fixtures.statements import counted

PASSWORD = "correct horse battery staple"
# name -> (project, role)
PEOPLE = {"alice": ("alpha", "member"), "bob": ("beta", "member"), "rita": ("alpha", "reader")}


@dataclass(frozen=True)
class FirstState:
    """The folder to copy and, where the database isn't a file in it, its rows by table."""

    state_dir: Path
    rows: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="session")
def first_state(
    tmp_path_factory: pytest.TempPathFactory, database_server: DatabaseServer | None
) -> FirstState:
    """A cloud's state as it begins, with the people of the tests; each test gets a copy."""
    settings = Settings(
        state_dir=tmp_path_factory.mktemp("first") / "state",
        database_url=database_server.url if database_server else "",
    )
    settings.state_dir.mkdir(mode=0o700)
    if database_server is not None:
        # Tests of other kinds have used it before.
        empty(database_server.url)
    db = Database(settings.db_url)
    Base.metadata.create_all(db.engine)
    bootstrap(settings, db, PASSWORD)
    password_hash = hash_password(PASSWORD)
    with db.write() as session:
        roles = {role.name: role.id for role in session.query(Role)}
        for name in ("alpha", "beta"):
            session.add(Project(name=name, domain_id="default", parent_id="default"))
        session.flush()
        projects = {project.name: project.id for project in session.query(Project)}
        for name, (project, role) in PEOPLE.items():
            user = User(name=name, domain_id="default", password_hash=password_hash)
            session.add(user)
            session.flush()
            session.add(
                RoleAssignment(
                    user_id=user.id,
                    target_type="project",
                    target_id=projects[project],
                    role_id=roles[role],
                )
            )
    rows = {} if database_server is None else read_rows(database_server.url)
    db.dispose()
    return FirstState(settings.state_dir, rows)


@pytest.fixture
def settings(first_state: FirstState, database_url: str) -> Iterator[Settings]:
    """Settings of a fresh cloud. A test module may override it with `replace(settings, ...)`."""
    # In memory: each commit waits for the disk otherwise.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        state_dir = Path(path) / "state"
        shutil.copytree(first_state.state_dir, state_dir)
        if database_url:
            write_rows(database_url, first_state.rows)
        yield Settings(state_dir=state_dir, database_url=database_url)


@pytest.fixture(scope="session")
def only_app(first_state: FirstState) -> tuple[Flask, Services]:
    """One application for all tests: its URL rules and policy take longer than most tests do."""
    settings = Settings(state_dir=first_state.state_dir)
    services = build_services(settings)
    return build_app(settings, services), services


@pytest.fixture
def services(settings: Settings, only_app: tuple[Flask, Services]) -> Iterator[Services]:
    """What this test's handlers are given: its own settings and database."""
    services = only_app[1]
    fresh = build_services(settings, services.policy)
    for entry in fields(Services):
        object.__setattr__(services, entry.name, getattr(fresh, entry.name))
    yield services
    # Not `services.db`, which a test may have put another in the place of.
    fresh.db.dispose()


@pytest.fixture
def app(services: Services, only_app: tuple[Flask, Services]) -> Flask:
    return only_app[0]


@pytest.fixture
def another_app() -> Iterator[Callable[[Settings], Flask]]:
    """Give applications with settings of their own, as other processes of the API have."""
    with ExitStack() as stack:

        def build(settings: Settings) -> Flask:
            services = build_services(settings)
            stack.callback(services.db.dispose)
            return build_app(settings, services)

        yield build


@dataclass(frozen=True)
class Caller:
    """Somebody with a token (or none) who calls the API."""

    app: Flask
    user_id: str = ""
    project_id: str = ""
    token: str | None = None

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        """Return the answer to `method path`; options are those of werkzeug's test client."""
        headers = dict(options.pop("headers", None) or {})
        if self.token is not None:
            headers.setdefault("X-Auth-Token", self.token)
        return Client(self.app).open(path, method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def head(self, path: str, **options: Any) -> TestResponse:
        return self.call("HEAD", path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self.call("POST", path, **options)

    def put(self, path: str, **options: Any) -> TestResponse:
        return self.call("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> TestResponse:
        return self.call("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self.call("DELETE", path, **options)

    def using(self, token: str | None) -> "Caller":
        """Return the same person with another token."""
        return replace(self, token=token)


@pytest.fixture
def caller_named(app: Flask, settings: Settings, services: Services) -> Callable[..., Caller]:
    """Give a person of this cloud with a token for a project: `caller_named("alice", "alpha")`."""

    def give(user_name: str, project_name: str) -> Caller:
        with services.db.read() as session:
            user = session.query(User).filter_by(name=user_name).one()
            project = session.query(Project).filter_by(name=project_name).one()
        token = tokens.issue(settings, user.id, tokens.Scope("project", project.id), ("password",))
        return Caller(app, user.id, project.id, tokens.write(settings, token))

    return give


@pytest.fixture
def admin(caller_named: Callable[..., Caller]) -> Caller:
    return caller_named("admin", "admin")


@pytest.fixture
def alice(caller_named: Callable[..., Caller]) -> Caller:
    """A member of project alpha."""
    return caller_named("alice", "alpha")


@pytest.fixture
def bob(caller_named: Callable[..., Caller]) -> Caller:
    """A member of project beta."""
    return caller_named("bob", "beta")


@pytest.fixture
def rita(caller_named: Callable[..., Caller]) -> Caller:
    """A reader of project alpha."""
    return caller_named("rita", "alpha")


@pytest.fixture
def anonymous(app: Flask) -> Caller:
    return Caller(app)


@pytest.fixture
def count_statements(services: Services) -> Callable[[], AbstractContextManager[list[str]]]:
    """Collect the SQL that runs inside: `with count_statements() as seen: ...; len(seen)`."""
    return lambda: counted(services.db.engine)
