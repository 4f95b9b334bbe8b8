"""Links and the catalog behind a proxy that the setting `trusted_proxies` names."""

from dataclasses import replace
from typing import Any

import pytest

from controller.settings import Settings
from tests.api.conftest import PASSWORD, Caller

PROXY = "192.0.2.9"
SAID = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "cloud.example.org:8443"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, trusted_proxies=(f"{PROXY}/32",))


def version_link(anonymous: Caller, source: str = PROXY, headers: Any = None) -> str:
    answer = anonymous.get(
        "/identity/v3", headers=headers or SAID, environ_base={"REMOTE_ADDR": source}
    )
    link: str = answer.json["version"]["links"][0]["href"]
    return link.removesuffix("/identity/v3/")


def test_links_follow_what_a_trusted_proxy_says(anonymous: Caller) -> None:
    assert version_link(anonymous) == "https://cloud.example.org:8443"
    headers = SAID | {"X-Forwarded-Host": "[2001:db8::1]:8443"}
    assert version_link(anonymous, headers=headers) == "https://[2001:db8::1]:8443"


def test_the_catalog_follows_too_and_so_does_the_hint_of_a_refusal(anonymous: Caller) -> None:
    user = {"name": "alice", "domain": {"id": "default"}, "password": PASSWORD}
    body: dict[str, Any] = {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": "alpha", "domain": {"id": "default"}}},
    }
    options: Any = {"headers": SAID, "environ_base": {"REMOTE_ADDR": PROXY}}
    answer = anonymous.post("/identity/v3/auth/tokens", json={"auth": body}, **options)
    urls = [entry["endpoints"][0]["url"] for entry in answer.json["token"]["catalog"]]
    assert all(url.startswith("https://cloud.example.org:8443/") for url in urls)
    for path in ("/identity/v3/users", "/network/v2.0/ports"):
        hint = anonymous.get(path, **options).headers["WWW-Authenticate"]
        assert hint == 'Keystone uri="https://cloud.example.org:8443/identity/v3"'


def test_nobody_else_is_believed(anonymous: Caller) -> None:
    assert version_link(anonymous, "198.51.100.7") == "http://127.0.0.1:8774"


@pytest.mark.parametrize(
    "host", ["", "a b", "x/y", "evil.example@x", "x:y", "x:123456", "<script>", "[::1", "x, "]
)
def test_a_host_that_is_none_is_not_repeated(anonymous: Caller, host: str) -> None:
    link = version_link(anonymous, headers={"X-Forwarded-Host": host, "X-Forwarded-Proto": "ftp"})
    assert link in ("http://127.0.0.1:8774", "http://x")


class TestPublicUrl:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, public_url="https://named.example.org/")

    def test_the_setting_wins(self, anonymous: Caller) -> None:
        assert version_link(anonymous) == "https://named.example.org"
