"""What chaos believes of a request that was not answered, and of who was silent when."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lab.chaos.api import Api, Away, Credentials
from lab.chaos.kills import Kill
from lab.chaos.watch import Look, answered_meanwhile, silences
from lab.servers import any_free_port

NOBODY = Credentials("nobody", "none", "none")


class _Controller(HTTPServer):
    """Answers each request by its own port, or breaks off when it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.breaks_off = False
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _Controller

    def do_POST(self) -> None:
        self.server.asked += 1
        if self.server.breaks_off:
            self.close_connection = True
            return
        body = str(self.server.server_port).encode()
        self.send_response(202)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its parent's name
        """Say nothing."""


@pytest.fixture
def controllers() -> Iterator[list[_Controller]]:
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(_Controller()) for _ in range(2)]
        for each in made:
            thread = threading.Thread(target=each.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(each.shutdown)
        yield made


def test_requests_go_to_the_controllers_in_turn(controllers: list[_Controller]) -> None:
    api = Api([each.url for each in controllers], NOBODY)
    answers = {api.compute("POST", "/servers").body for _ in range(2)}
    assert answers == {each.server_port for each in controllers}


def test_where_nobody_listens_the_next_controller_is_asked(controllers: list[_Controller]) -> None:
    api = Api([f"http://127.0.0.1:{any_free_port()}", controllers[0].url], NOBODY)
    assert all(api.compute("POST", "/servers").accepted for _ in range(4))


def test_a_request_that_may_have_been_taken_in_is_not_repeated(
    controllers: list[_Controller],
) -> None:
    controllers[0].breaks_off = True
    api = Api([each.url for each in controllers], NOBODY)
    with pytest.raises(Away):
        api.compute("POST", "/servers")
    assert [each.asked for each in controllers] == [1, 0]


def test_who_does_not_answer_while_another_is_away_is_named() -> None:
    kills = [Kill("controller", "", at=10.0, back_at=20.0, url="one")]
    looks = [
        Look("other", 12.0, 12.1, ""),
        Look("other", 13.0, 14.0, "503 None"),
        # It was killed itself.
        Look("one", 13.0, 14.0, "refused"),
        # Before, and after it was back.
        Look("other", 9.0, 9.5, "refused"),
        Look("other", 20.0, 20.5, "refused"),
    ]
    (silence,) = silences(looks, kills)
    assert silence.startswith("other did not answer while controller of one was away: 503")
    assert answered_meanwhile(looks, kills) == 1


def test_nobody_is_named_while_what_all_stand_on_is_away() -> None:
    kills = [Kill("database-server", "", at=10.0, back_at=20.0)]
    assert not silences([Look("other", 13.0, 14.0, "503 None")], kills)
