"""Which networks a host is rid of: those that are neither named nor used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    linux_bridge,
    names,
    network_links,
    network_namespace,
    unused_networks,
    work,
)

KEPT = "0b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a11"
JOINED = "1b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a12"
GONE = "2b1c2d3e-4f7e-4d5e-9b5c-0f4d4b5d6a13"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str]]:
    """What is asked to go, of a host with three networks and a bridge of the operator's."""
    asked: list[tuple[str, str]] = []

    def remove(kind: str, key: str) -> Any:
        def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
            assert not check_mode
            assert (params["state"], params["only_if_unused"]) == ("absent", True)
            if kind == "bridge":
                # Check mode, too, is to say that it goes.
                assert params["leaving"] == [names.veth_name(each) for each in (JOINED, GONE)]
            asked.append((kind, params[key]))
            return {"changed": True, "diff": work.text_diff(kind, "there\n", "")}

        return run

    for network_id in (KEPT, JOINED, GONE):
        (tmp_path / "networks" / network_id).mkdir(parents=True)
    monkeypatch.setattr(network_links, "NETNS_FOLDER", str(tmp_path / "netns"))
    links = ("nvb0b1c2d3e4f7", "nvb1b1c2d3e4f7", "nvb2b1c2d3e4f7", "br0")
    monkeypatch.setattr(network_links, "links", lambda: {name: {} for name in links})
    monkeypatch.setattr(network_namespace, "run", remove("namespace", "network_id"))
    monkeypatch.setattr(linux_bridge, "run", remove("bridge", "name"))
    return asked


def test_what_is_not_named_goes_if_it_is_unused(
    asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    """A network that only a router joins keeps its bridge, and has no services."""
    given = {"keep": [KEPT], "keep_bridges": [JOINED], "service_backend": "auto"}
    result = unused_networks.run({**given, "state_path": str(tmp_path)}, False)
    assert result["changed"]
    assert asked == [
        ("namespace", JOINED), ("namespace", GONE), ("bridge", "nvb2b1c2d3e4f7"),
    ]  # fmt: skip


def test_a_name_that_is_no_network_is_refused(asked: list[tuple[str, str]]) -> None:
    given = {"keep": ["../x"], "keep_bridges": [], "state_path": "/", "service_backend": "auto"}
    with pytest.raises(work.WorkError):
        unused_networks.run(given, False)
    assert asked == []
