"""Host names made of servers' names."""

import pytest

from controller.core.server_names import hostname

SERVER = "5f2c0c2e-1111-4222-8333-444455556666"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web1", "web1"),
        ("My Web_Server.example", "my-web-server-example"),
        ("--x--", "x"),
        ("{{ 7*7 }}", "77"),
        ("<b>\"'&", "b"),
        ("x" * 80, "x" * 63),
        ("a" * 62 + " b", "a" * 62),
        ("Ünïcode", "ncode"),
        ("服务器", f"server-{SERVER}"),
        ("...", f"server-{SERVER}"),
    ],
)
def test_a_host_name_has_letters_digits_and_dashes(name: str, expected: str) -> None:
    assert hostname(name, SERVER) == expected
