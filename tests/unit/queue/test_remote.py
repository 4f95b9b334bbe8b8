"""Wake-ups by RabbitMQ: a worker on another machine wakes, whatever befalls the broker."""

import logging
import threading
from collections.abc import Iterator

import pytest

from controller.errors import BadRequest
from controller.queue import remote
from controller.queue.remote import QUEUE, Listener, Sender
from lab.broker import Broker, rabbitmq
from lab.servers import PASSWORD, any_free_port
from lab.waiting import wait_until


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with rabbitmq() as running:
        yield running


@pytest.fixture
def woken(broker: Broker) -> Iterator[threading.Event]:
    """Set when a listener was woken."""
    event = threading.Event()
    listener = Listener(broker.url, event.set)
    yield event
    listener.close()


@pytest.fixture
def sender(broker: Broker) -> Iterator[Sender]:
    sender = Sender(broker.url)
    yield sender
    sender.close()


def wakes(sender: Sender, woken: threading.Event) -> None:
    """Send until a wake-up arrives: what is lost meanwhile may be lost, but not for good."""
    woken.clear()

    def arrived() -> bool:
        sender.wake()
        return woken.wait(0.5)

    wait_until(arrived, what="a wake-up arrives", timeout_s=60)


def test_a_listener_is_woken_also_after_the_broker_was_killed_and_after_its_queue_was_lost(
    broker: Broker,
    sender: Sender,
    woken: threading.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    wakes(sender, woken)
    broker.lose_queue(QUEUE)
    wakes(sender, woken)
    broker.restart()
    wakes(sender, woken)
    assert PASSWORD not in caplog.text


def test_nobody_waits_for_a_broker_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender(f"amqp://novella:{PASSWORD}@127.0.0.1:{any_free_port()}/%2F")
    for _ in range(1000):
        sender.wake()
    wait_until(lambda: "no wake-up could be sent" in caplog.text, what="it is said", timeout_s=30)
    sender.close()
    assert PASSWORD not in caplog.text


def test_a_stop_cuts_the_pause_before_the_next_try(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 3600.0)
    monkeypatch.setattr(remote, "LAST_SEND_S", 60.0)
    sender = Sender(f"amqp://novella:{PASSWORD}@127.0.0.1:{any_free_port()}/%2F")
    sender.wake()
    wait_until(lambda: "no wake-up could be sent" in caplog.text, what="it is said", timeout_s=30)
    sender.close()
    assert "wake-sender" not in {thread.name for thread in threading.enumerate()}


def test_an_address_that_is_none_is_refused_without_its_password() -> None:
    with pytest.raises(BadRequest, match="queue_url") as refused:
        Sender(f"amqp://novella:{PASSWORD}@host:no-port/")
    assert PASSWORD not in str(refused.value)
