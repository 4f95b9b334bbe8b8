"""Policy: whom a rule takes for the owner."""

from controller.api.common.policy import MEMBER, Policy, Rule
from controller.core.context import Context
from controller.settings import Settings


def test_a_token_without_a_project_owns_no_project_whatever_its_name() -> None:
    policy = Policy(Settings(), [Rule("do", MEMBER)])
    nobodys = Context("req-1", user_id="u", roles=frozenset({"member"}))
    for named in ("None", "none", "null", "p"):
        assert not policy.allows("do", nobodys, {"project_id": named})
    assert not policy.allows("do", nobodys, {"project_id": None})
    ours = Context("req-1", user_id="u", project_id="p", roles=frozenset({"member"}))
    assert policy.allows("do", ours, {"project_id": "p"})
    assert policy.allows("do", ours)
