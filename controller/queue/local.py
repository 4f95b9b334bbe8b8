"""Wake-ups on one machine: a datagram to the socket of each worker. Nobody waits for delivery."""

import contextlib
import socket
from pathlib import Path


class Wakeups:
    """The worker's side: a socket that others poke. `wait` returns early when somebody did."""

    def __init__(self, run_dir: Path, worker: str) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self.path = run_dir / f"wake-{worker}.sock"
        self.path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))

    def wait(self, timeout_s: float) -> bool:
        """Return True as soon as a wake-up is there, False after `timeout_s`."""
        self.socket.settimeout(timeout_s)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return False
        self._drain()
        return True

    def _drain(self) -> None:
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv(1):
                pass

    def close(self) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)


def wake_workers(run_dir: Path) -> None:
    """Poke every worker on this machine. One that is away, or has enough to do, is passed over."""
    for path in run_dir.glob("wake-*.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            with contextlib.suppress(OSError):
                sender.sendto(b"w", str(path))
