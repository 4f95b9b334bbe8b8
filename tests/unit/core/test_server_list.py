"""Patterns of tenants, as they are looked for in columns."""

import pytest
from sqlalchemy.dialects import sqlite

from controller.core.server_list import matches
from controller.db.models import Server


@pytest.mark.parametrize(
    ("pattern", "likes"),
    [
        ("web", ["%web%"]),
        ("^web", ["web%"]),
        ("web$", ["%web"]),
        ("^web$", ["web"]),
        ("^web.*$", ["web%"]),
        ("w.b", ["%w_b%"]),
        ("w.+b", ["%w_%b%"]),
        (r"^10\.91\.1\.4$", ["10.91.1.4"]),
        ("a|^b", ["%a%", "b%"]),
        ("50%_!", ["%50!%!_!!%"]),
        (r"cost\$", ["%cost$%"]),
        ("", ["%%"]),
        # Anything more is text.
        ("(a+)+$", ["%(a+)+$%"]),
        ("[ab]", ["%[ab]%"]),
        ("{{ 7*7 }}", ["%{{ 7*7 }}%"]),
        ("*", ["%*%"]),
        ("\\", ["%\\%"]),
    ],
)
def test_a_pattern_becomes_plain_likes(pattern: str, likes: list[str]) -> None:
    condition = matches(Server.name, pattern).compile(dialect=sqlite.dialect())
    assert list(condition.params.values()) == likes
