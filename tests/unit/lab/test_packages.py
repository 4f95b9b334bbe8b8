"""Which Debian packages are installed, and what is kept from starting."""

import stat
from pathlib import Path

import pytest

from lab import packages
from lab.errors import LabError
from lab.packages import debian_release, missing, no_daemons_started, wanted


def test_debian_releases_are_told_apart() -> None:
    assert debian_release('ID=debian\nVERSION_ID="12"\n') == 12
    assert debian_release('ID=debian\nVERSION_ID="13"\n') == 13
    assert debian_release('PRETTY_NAME="Debian GNU/Linux trixie/sid"\nID=debian\n') == 13


@pytest.mark.parametrize(
    "text", ['ID=fedora\nPRETTY_NAME="Fedora 41"\n', 'ID=debian\nVERSION_ID="11"\n']
)
def test_other_systems_are_refused_by_name(text: str) -> None:
    with pytest.raises(LabError, match=r"Cannot install packages on (Fedora 41|Debian 11)"):
        debian_release(text)


def test_debian_13_gets_what_was_split_off_since() -> None:
    assert "qemu-system-modules-spice" in wanted(["host"], 13)
    assert "qemu-system-modules-spice" not in wanted(["host"], 12)


def test_a_package_that_two_parts_need_is_named_once() -> None:
    names = wanted(["host", "lab", "guest", "controller", "test"], 13)
    assert len(names) == len(set(names))


def test_an_unknown_part_is_refused_with_those_there_are() -> None:
    with pytest.raises(LabError, match=r"'hosts'; there are: host, lab, guest, controller, test"):
        wanted(["hosts"], 12)


def test_an_absent_package_is_missed_beside_a_present_one() -> None:
    assert missing(["dpkg", "novella-no-such-package"]) == ["novella-no-such-package"]


def test_nothing_is_done_when_all_is_present(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(packages.PACKAGES, "host", ("dpkg",))
    monkeypatch.setattr(packages, "SINCE_13", {})
    assert packages.install(["host"]) == []
    assert "all Debian packages for host are present" in capsys.readouterr().out


def test_daemons_are_kept_from_starting_and_the_policy_goes_also_on_failure(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"

    def failing_apt() -> None:
        assert "exit 101" in policy.read_text(encoding="utf-8")
        assert policy.stat().st_mode & stat.S_IXUSR
        raise LabError("apt failed")

    with pytest.raises(LabError, match="apt failed"), no_daemons_started(policy):
        failing_apt()
    assert not policy.exists()


def test_the_machines_own_policy_is_left_alone(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    with no_daemons_started(policy):
        assert policy.read_text(encoding="utf-8") == "#!/bin/sh\nexit 0\n"
    assert policy.exists()


def test_a_policy_that_a_killed_run_left_behind_is_removed(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(packages.POLICY_TEXT, encoding="utf-8")
    with no_daemons_started(policy):
        pass
    assert not policy.exists()
