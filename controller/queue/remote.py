"""Wake-ups between machines: Dramatiq on RabbitMQ, where the setting `queue_url` names a broker.

Retries and time limits are the engine's, so no middleware of Dramatiq's is used: a message says no
more than 'look into the database', and one that is lost costs at most a worker's poll. So nobody
ever waits for the broker, and one that is away, restarted or without its queue mends by itself.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import Any, cast

import dramatiq
import pika  # type: ignore[import-untyped]
from dramatiq import Message, Worker
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.common import q_name
from dramatiq.errors import ConnectionClosed

from controller.errors import BadRequest

log = logging.getLogger(__name__)

QUEUE, ACTOR = "novella.wakeups", "wake"
# Wake-ups that come closer together are one message.
GATHER_S = 0.02
# A sender with nothing to send answers the broker's heartbeats this often.
IDLE_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
CONNECT_TIMEOUT_S = 5.0
STOP_S = 5.0
# A process that ends gives its last wake-up this long; the workers poll.
LAST_SEND_S = 1.0


class Sender:
    """A process's side that wakes. `wake` returns at once; a thread of its own does the rest."""

    def __init__(self, queue_url: str) -> None:
        self._broker = _broker(queue_url)
        self._asked = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        # Of the process that started it: a forked one needs a thread and a connection of its own.
        self._thread: tuple[int, threading.Thread] | None = None

    def wake(self) -> None:
        """Have one worker, wherever it is, look into the database soon."""
        self._start()
        self._asked.set()

    def close(self) -> None:
        """Send what was asked for, if the broker is there, and let the connection go."""
        self._closing.set()
        self._asked.set()
        if self._thread is not None and self._thread[0] == os.getpid():
            self._thread[1].join(LAST_SEND_S)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or self._thread[0] != os.getpid():
                thread = threading.Thread(target=self._loop, name="wake-sender", daemon=True)
                self._thread = (os.getpid(), thread)
                thread.start()

    def _loop(self) -> None:
        pause_s = FIRST_PAUSE_S
        pending = False
        # A broker that was away a moment ago is not waited for again at the end.
        while not self._closing.is_set() or (self._asked.is_set() and not pending):
            if not pending and not self._asked.wait(IDLE_S):
                self._answer_heartbeat()
                continue
            self._closing.wait(GATHER_S)
            # Cleared first: what is asked for from here on is another message.
            self._asked.clear()
            try:
                self._broker.enqueue(Message(QUEUE, ACTOR, (), {}, {}))
            except Exception as error:
                # Whatever it is, the process that asked goes on, and the workers poll.
                log.warning("no wake-up could be sent; it is tried again: %s", _said(error))
                pending = True
                self._closing.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                pending, pause_s = False, FIRST_PAUSE_S
        with contextlib.suppress(Exception):
            self._broker.close()

    def _answer_heartbeat(self) -> None:
        try:
            self._broker.connection.process_data_events()
        except Exception as error:
            log.debug("the connection to the broker is gone: %s", _said(error))
            with contextlib.suppress(Exception):
                del self._broker.connection


class Listener:
    """A worker's side: `on_wake` is called, in a thread of its own, for each wake-up."""

    def __init__(self, queue_url: str, on_wake: Callable[[], None]) -> None:
        broker = _broker(queue_url)

        def wake() -> None:
            on_wake()

        dramatiq.actor(actor_name=ACTOR, queue_name=QUEUE, broker=broker)(wake)
        self._broker = broker
        self._worker = Worker(broker, queues={QUEUE}, worker_threads=1, worker_timeout=500)
        self._worker.start()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._worker.stop(timeout=int(1000 * STOP_S))
            self._broker.close()


class _Broker(RabbitmqBroker):
    """A broker whose queues come back when they are lost."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        # Dramatiq declares a queue once, and would then consume from one that is gone for ever.
        self.queues_pending.add(q_name(queue_name))
        return super().consume(queue_name, prefetch, timeout)


def _broker(queue_url: str) -> RabbitmqBroker:
    """Return the broker; nothing is connected yet. Raises BadRequest, without the URL's text."""
    # It repeats each failed connection at length; ours and Dramatiq's line say it once.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    try:
        # With confirmations a missing queue is noticed, and made again.
        broker = _Broker(url=queue_url, confirm_delivery=True, middleware=[])
    except Exception as error:
        raise BadRequest(
            "Setting 'queue_url' is not a broker's address. One looks like "
            "amqp://novella:password@mq1:5672/%2F (amqps:// for TLS)."
        ) from error
    parameters = cast("pika.ConnectionParameters", broker.parameters)
    parameters.heartbeat = 20
    parameters.connection_attempts = 1
    parameters.socket_timeout = parameters.stack_timeout = CONNECT_TIMEOUT_S
    parameters.blocked_connection_timeout = CONNECT_TIMEOUT_S
    return broker


def _said(error: Exception) -> str:
    cause = error.args[0] if isinstance(error, ConnectionClosed) and error.args else error
    return str(cause) or type(cause).__name__
