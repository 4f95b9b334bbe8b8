"""Database servers of Debian's packages: PostgreSQL and MariaDB."""

import contextlib
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from lab.servers import PASSWORD, START_TIMEOUT_S, Server, any_free_port, own_folder, run_as
from lab.waiting import wait_until

_DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}


def engine_of(url: str) -> Engine:
    """Return an engine for a URL as an operator would write it; it keeps no connection."""
    parsed = make_url(url)
    return create_engine(parsed.set(drivername=_DRIVERS[parsed.drivername]), poolclass=NullPool)


def _answers(url: str) -> bool:
    engine = engine_of(url)
    with contextlib.suppress(DBAPIError), engine.connect() as connection:
        return bool(connection.scalar(text("SELECT 1")) == 1)
    return False


@dataclass
class DatabaseServer:
    """A running database server. `url` names its one database, as an operator would write it."""

    server: Server
    url: str

    def start(self) -> None:
        self.server.start()
        wait_until(
            lambda: self.server.alive() and _answers(self.url),
            what="the database server answers", timeout_s=START_TIMEOUT_S,
        )  # fmt: skip

    def restart(self) -> None:
        self.server.kill()
        self.start()

    def cut_connections(self) -> int:
        """End all of the controller's connections, in mid-statement; return how many. PostgreSQL's.

        They are known by the name that the controller gives them.
        """
        engine = engine_of(self.url)
        with engine.connect() as connection:
            ended = connection.scalars(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'novella'"
                )
            )
            return sum(ended)


@contextlib.contextmanager
def postgresql() -> Iterator[DatabaseServer]:
    """Give a PostgreSQL server with an empty database."""
    folder = own_folder("postgres", "pg")
    programs = max(Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name)) / "bin"
    data = folder / "data"
    port = any_free_port()
    # C: names are ordered as the other databases order them.
    run_as(
        "postgres", folder, str(programs / "initdb"), "-D", str(data), "-U", "novella",
        "-A", "trust", "--locale=C", "-E", "UTF8", "--no-sync",
    )  # fmt: skip
    command = [
        str(programs / "postgres"), "-D", str(data), "-k", str(folder), "-p", str(port),
        *("-c", "listen_addresses=127.0.0.1"), *("-c", "max_connections=300"),
        # Its data need not outlive the machine; what was committed outlives the process.
        *("-c", "fsync=off"), *("-c", "full_page_writes=off"), *("-c", "shared_buffers=32MB"),
    ]  # fmt: skip
    server = Server("postgres", command, folder, stop_signal=signal.SIGQUIT)
    with _running(server, f"postgresql://novella:{PASSWORD}@127.0.0.1:{port}/postgres") as running:
        yield running


@contextlib.contextmanager
def mariadb() -> Iterator[DatabaseServer]:
    """Give a MariaDB server with an empty database, whose own collation ignores case."""
    folder = own_folder("mysql", "my")
    data, sock, port = folder / "data", folder / "s", any_free_port()
    # Its own: a server that starts removes what others have in a common one.
    temporary = f"--tmpdir={folder}"
    run_as(
        "mysql", folder, "mariadb-install-db", "--no-defaults", f"--datadir={data}", temporary,
        "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
        "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=16M",
    )  # fmt: skip
    first = folder / "first.sql"
    first.write_text(
        "CREATE DATABASE IF NOT EXISTS novella CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;\n"
        f"CREATE OR REPLACE USER novella@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
        "GRANT ALL ON novella.* TO novella@'127.0.0.1';\n"
    )
    first.chmod(0o644)
    command = [
        "/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}", temporary, f"--socket={sock}",
        f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve",
        f"--pid-file={folder}/pid", f"--init-file={first}", "--max-connections=300",
        "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=16M",
    ]  # fmt: skip
    server = Server("mysql", command, folder)
    with _running(server, f"mariadb://novella:{PASSWORD}@127.0.0.1:{port}/novella") as running:
        yield running


@contextlib.contextmanager
def _running(server: Server, url: str) -> Iterator[DatabaseServer]:
    """Give the server as soon as it answers; it goes with its folder."""
    running = DatabaseServer(server, url)
    try:
        running.start()
        yield running
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)
