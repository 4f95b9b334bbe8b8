"""Policy: upstream's names, and an operator's file over them."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from controller.api.common.policy import Policy, Rule
from controller.core.context import Context
from controller.errors import BadRequest, Forbidden
from controller.settings import Settings

RULES = [Rule("things:list", "rule:is_admin or user_id:%(user_id)s"), Rule("things:open", "@")]
ADMIN = Context("req-1", user_id="a", roles=frozenset({"admin"}), is_admin=True)
MEMBER = Context("req-2", user_id="m", roles=frozenset({"member", "reader"}))


def test_rules_are_in_force_as_they_are_written() -> None:
    policy = Policy(Settings(), RULES)
    assert policy.allows("things:open", MEMBER)
    assert policy.allows("things:list", ADMIN, {"user_id": "m"})
    assert policy.allows("things:list", MEMBER, {"user_id": "m"})
    assert not policy.allows("things:list", MEMBER, {"user_id": "a"})


def test_an_operators_file_overrides_a_rule_and_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text('"things:open": "rule:is_admin"\n')
    policy = Policy(Settings(policy_file=str(tmp_path / "policy.yaml")), RULES)
    with pytest.raises(Forbidden, match="things:open"):
        policy.authorize("things:open", MEMBER)
    assert policy.allows("things:list", MEMBER, {"user_id": "m"})


def test_a_missing_policy_file_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="policy file"):
        Policy(Settings(policy_file=str(tmp_path / "absent.yaml")), RULES)


def test_an_operators_file_may_ask_a_server_of_the_operators(tmp_path: Path) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"True" if self.path == "/open" else b"False")

        def log_message(self, *_words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        (tmp_path / "policy.yaml").write_text(
            f'"things:open": "{url}/open"\n"things:list": "{url}/list"\n'
        )
        policy = Policy(Settings(policy_file=str(tmp_path / "policy.yaml")), RULES)
        assert policy.allows("things:open", MEMBER)
        assert not policy.allows("things:list", MEMBER)
        server.shutdown()
    assert asked == ["/open", "/list"]
