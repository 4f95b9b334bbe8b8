"""From a rule's change to its effect: echo requests to a guest on each of two hosts, all the while.

Seconds run from the API's answer to the first reply of the guest that is last to answer, and to the
last request that still got one.
"""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bench import creates
from bench.networks.guests import World
from bench.report import Report
from lab.waiting import wait_until

INTERVAL_S = 0.01
TIMEOUT_S = 60.0
# A request is lost when this much later ones are, too.
SILENCE_S = 1.0
ECHO_REQUEST, ECHO_REPLY = 8, 0
ICMP_HEADER = struct.Struct("!BBHHH")
NUMBER = struct.Struct("!Q")
IP_HEADER_BYTES = 20


def measure(world: World, report: Report, rounds: int) -> None:
    """Add the seconds until a rule holds, and until it holds no more, on both hosts."""
    opened: list[float] = []
    closed: list[float] = []
    network = world.admin.network
    addresses = [guest.outside for guest in world.guests]
    for _ in range(rounds):
        creates.await_rest(world.cloud)
        with _asking(addresses) as echoes:
            rule = network.create_security_group_rule(
                security_group_id=world.group_id, direction="ingress", ethertype="IPv4",
                protocol="icmp",
            )  # fmt: skip
            opened.append(echoes.until_all_answer())
            creates.await_rest(world.cloud)
            network.delete_security_group_rule(rule)
            closed.append(echoes.until_none_answers())
    about = "two lab hosts, a guest on each"
    report.add(f"rule made, until packets get through ({about})", "s", opened)
    report.add(f"rule taken back, until packets are dropped ({about})", "s", closed)


class _Echoes:
    """Requests, sent all the while, and the replies to them. Times are monotonic."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._socket.settimeout(0.2)
        # One for each object: a reply of the round before is none of this one's.
        self._id = int.from_bytes(os.urandom(2))
        self._sent: list[float] = []
        # By address: the number of the last request that was answered, and all replies' times.
        self._last: dict[str, int] = {}
        self._replies: dict[str, list[float]] = {address: [] for address in addresses}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._send, self._take)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def until_all_answer(self) -> float:
        """Return the seconds from now until each address has answered."""
        began = time.monotonic()
        wait_until(
            lambda: all(self._replies.values()), what="all guests answer", timeout_s=TIMEOUT_S,
            interval_s=INTERVAL_S,
        )  # fmt: skip
        return max(replies[0] for replies in self._replies.values()) - began

    def until_none_answers(self) -> float:
        """Return the seconds from now to the last request that still got an answer; 0 if none."""
        began = time.monotonic()

        def silent() -> bool:
            now = time.monotonic()
            return all(now - replies[-1] > SILENCE_S for replies in self._replies.values())

        wait_until(silent, what="no guest answers", timeout_s=TIMEOUT_S, interval_s=0.1)
        return max(0.0, max(self._sent[number] for number in self._last.values()) - began)

    def _send(self) -> None:
        while not self._stop.is_set():
            number = len(self._sent)
            payload = NUMBER.pack(number)
            header = (ECHO_REQUEST, 0, 0, self._id, number & 0xFFFF)
            checksum = _checksum(ICMP_HEADER.pack(*header) + payload)
            packet = ICMP_HEADER.pack(ECHO_REQUEST, 0, checksum, *header[3:]) + payload
            self._sent.append(time.monotonic())
            for address in self._addresses:
                # A neighbour may not answer for a moment.
                with contextlib.suppress(OSError):
                    self._socket.sendto(packet, (address, 0))
            self._stop.wait(INTERVAL_S)

    def _take(self) -> None:
        while not self._stop.is_set():
            try:
                packet, (address, _) = self._socket.recvfrom(512)
            except OSError:
                continue
            reply = packet[IP_HEADER_BYTES:]
            kind, _, _, number_of_asker, _ = ICMP_HEADER.unpack_from(reply)
            if kind == ECHO_REPLY and number_of_asker == self._id and address in self._replies:
                (number,) = NUMBER.unpack_from(reply, ICMP_HEADER.size)
                self._last[address] = max(number, self._last.get(address, 0))
                self._replies[address].append(time.monotonic())


@contextlib.contextmanager
def _asking(addresses: Sequence[str]) -> Iterator[_Echoes]:
    echoes = _Echoes(addresses)
    echoes.start()
    try:
        # That which a forgotten rule lets through would make the figure a lie.
        time.sleep(SILENCE_S)
        answered: dict[str, Any] = {each: len(said) for each, said in echoes._replies.items()}
        if any(answered.values()):
            raise SystemExit(f"bench: guests answer before the rule is there: {answered}")
        yield echoes
    finally:
        echoes.stop()


def _checksum(data: bytes) -> int:
    """Return the Internet checksum of an even number of bytes (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
