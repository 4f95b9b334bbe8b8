"""Services for either supervisor. systemd does not run here: its texts and commands are tested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    service_s6,
    service_systemd,
    service_units,
    work,
)

SERVICE = service_units.Service(
    name="metadata-1",
    argv=["/usr/bin/python3", "a b", "100%", "$HOME", 'q"\\'],
    description="a service",
    user="nobody",
    netns="nvn-1",
    environment={"KEY": "a $b"},
)


class Systemctl:
    """What was asked of systemctl, with the answers of a unit in one state."""

    def __init__(self, active: str = "inactive", enabled: str = "disabled") -> None:
        self.active, self.enabled = active, enabled
        self.asked: list[str] = []

    def __call__(self, argv: list[str], **_: Any) -> str:
        if argv[1] == "show":
            return f"ActiveState={self.active}\nMainPID={7 if self.active == 'active' else 0}\n"
        if argv[1] == "is-enabled":
            return self.enabled + "\n"
        self.asked.append(" ".join(argv[1:]))
        return ""


def systemd(folder: Path, **state: str) -> tuple[service_systemd.Systemd, Systemctl]:
    systemctl = Systemctl(**state)
    return service_systemd.Systemd(str(folder), systemctl), systemctl


def test_a_unit_quotes_its_words_and_waits_for_its_namespace() -> None:
    lines = service_systemd.unit_text(SERVICE).splitlines()
    assert 'ExecStart="/usr/bin/python3" "a b" "100%%" "$$HOME" "q\\"\\\\"' in lines
    assert "NetworkNamespacePath=/run/netns/nvn-1" in lines
    assert "ConditionPathExists=/run/netns/nvn-1" in lines
    assert "User=nobody" in lines
    assert 'Environment="KEY=a $b"' in lines
    assert "Restart=always" in lines


def test_a_new_unit_is_loaded_and_started_but_not_enabled(tmp_path: Path) -> None:
    backend, systemctl = systemd(tmp_path)
    assert backend.present(SERVICE, False, "started")[0]
    assert systemctl.asked == ["daemon-reload", "restart novella-metadata-1.service"]
    assert (tmp_path / "novella-metadata-1.service").stat().st_mode & 0o777 == 0o644


def test_a_unit_that_runs_as_defined_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "novella-metadata-1.service").write_text(service_systemd.unit_text(SERVICE))
    backend, systemctl = systemd(tmp_path, active="active")
    assert backend.present(SERVICE, False, "started")[0] is False
    assert systemctl.asked == []


def test_check_mode_asks_nothing_of_systemd(tmp_path: Path) -> None:
    backend, systemctl = systemd(tmp_path)
    changed, diff, now = backend.present(SERVICE, True, "started")
    assert changed
    assert now == {"state": "absent", "pid": None}
    assert "ExecStart" in diff[0]["after"]
    assert systemctl.asked == []
    assert list(tmp_path.iterdir()) == []


def test_an_absent_unit_is_stopped_before_its_file_goes(tmp_path: Path) -> None:
    backend, systemctl = systemd(tmp_path, active="active")
    assert backend.absent("metadata-1", False) == (False, [])
    (tmp_path / "novella-metadata-1.service").write_text("x")
    assert backend.absent("metadata-1", False)[0]
    assert systemctl.asked[:2] == ["disable --now novella-metadata-1.service", "daemon-reload"]
    assert list(tmp_path.iterdir()) == []


def test_a_restart_without_a_definition_is_of_what_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"name": "metadata-1", "state": "restarted", "argv": None, "backend": "systemd"}
    unit = tmp_path / "novella-metadata-1.service"

    def restarted(active: str, check_mode: bool = False) -> tuple[bool, list[str]]:
        backend, systemctl = systemd(tmp_path, active=active)
        monkeypatch.setitem(service_units.BACKENDS, "systemd", lambda: backend)
        return service_units.run(params, check_mode)["changed"], systemctl.asked

    assert restarted("active") == (False, [])
    unit.write_text("as it was defined")
    assert restarted("inactive") == (False, [])
    assert restarted("active", check_mode=True) == (True, [])
    assert restarted("active") == (True, ["restart novella-metadata-1.service"])
    assert unit.read_text() == "as it was defined"


def test_a_reload_is_a_hangup_of_the_main_process_alone(tmp_path: Path) -> None:
    (tmp_path / "novella-dhcp-1.service").write_text("x")
    backend, systemctl = systemd(tmp_path, active="active")
    backend.reload("dhcp-1")
    assert systemctl.asked == ["kill -s HUP --kill-who=main novella-dhcp-1.service"]


def test_a_run_script_drops_every_privilege_inside_the_namespace() -> None:
    last = service_s6.run_script(SERVICE).splitlines()[-1]
    assert last.startswith("exec /usr/bin/nsenter --net=/run/netns/nvn-1 -- /usr/bin/setpriv ")
    assert "--reuid=nobody" in last
    assert "--bounding-set=-all" in last
    assert last.endswith("-- /usr/bin/python3 'a b' 100% '$HOME' 'q\"\\'")
    assert "export KEY='a $b'" in service_s6.run_script(SERVICE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../x"},
        {"argv": ["sleep"]},
        {"argv": []},
        {"argv": ["/bin/sh", "a\nUser=root"]},
        {"environment": {"A B": "x"}},
        {"user": "a b"},
        {"netns": "../x"},
    ],
)
def test_what_no_unit_carries_safely_is_refused(wrong: dict[str, Any]) -> None:
    values = {"name": "x", "argv": ["/bin/true"], **wrong}
    with pytest.raises(work.WorkError):
        service_units.check(service_units.Service(**values))


def test_the_supervisor_that_runs_is_taken_and_none_is_refused(tmp_path: Path) -> None:
    there, away = str(tmp_path), str(tmp_path / "away")
    assert service_units.select_backend("auto", there, away).NAME == "systemd"
    assert service_units.select_backend("auto", away, there).NAME == "s6"
    with pytest.raises(work.WorkError, match="s6-svscan"):
        service_units.select_backend("auto", away, away)
