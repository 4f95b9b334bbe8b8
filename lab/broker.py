"""RabbitMQ of Debian's package."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pika  # type: ignore[import-untyped]

from lab.servers import PASSWORD, START_TIMEOUT_S, Server, any_free_port, own_folder
from lab.waiting import wait_until


@dataclass
class Broker:
    """A RabbitMQ server and the port mapper that Erlang wants, both ours."""

    server: Server
    mapper: Server
    port: int

    @property
    def url(self) -> str:
        """The address, as an operator would write it."""
        return f"amqp://novella:{PASSWORD}@127.0.0.1:{self.port}/%2F"

    def start(self) -> None:
        self.server.start()
        wait_until(
            lambda: self.server.alive() and self._answers(),
            what="RabbitMQ answers", timeout_s=2 * START_TIMEOUT_S, interval_s=0.2,
        )  # fmt: skip

    def restart(self) -> None:
        self.server.kill()
        self.start()

    def lose_queue(self, name: str) -> None:
        """Delete a queue behind the backs of those who use it."""
        with contextlib.closing(self._connect()) as connection:
            connection.channel().queue_delete(name)

    def has_queue(self, name: str) -> bool:
        """Return whether the queue is there, without making it."""
        with contextlib.closing(self._connect()) as connection:
            try:
                connection.channel().queue_declare(name, passive=True)
            except pika.exceptions.ChannelClosedByBroker:
                return False
            return True

    def _connect(self) -> Any:
        return pika.BlockingConnection(pika.URLParameters(self.url))

    def _answers(self) -> bool:
        # Pika says with a ValueError that the other side went while it was connecting.
        with contextlib.suppress(pika.exceptions.AMQPError, OSError, ValueError):
            self._connect().close()
            return True
        return False


@contextlib.contextmanager
def rabbitmq() -> Iterator[Broker]:
    """Give a RabbitMQ server."""
    folder = own_folder("rabbitmq", "mq")
    port, erlang_port, mapper_port = any_free_port(), any_free_port(), any_free_port()
    configuration = folder / "rabbitmq.conf"
    configuration.write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\ndefault_user = novella\n"
        f"default_pass = {PASSWORD}\ndisk_free_limit.absolute = 1MB\n"
    )
    (folder / "plugins").write_text("[].")
    for path in (configuration, folder / "plugins"):
        path.chmod(0o644)
    environment = {
        "RABBITMQ_NODENAME": f"nvt{port}@localhost",
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(configuration),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_DIST_PORT": str(erlang_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false",
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    mapper = Server("rabbitmq", ["/usr/bin/epmd"], folder, environment)
    program = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    broker = Broker(Server("rabbitmq", [program], folder, environment), mapper, port)
    try:
        mapper.start()
        broker.start()
        yield broker
    finally:
        for server in (broker.server, mapper):
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)
