"""Settings: what a file may say, and how a mistake in it is refused."""

from pathlib import Path

import pytest

from controller.errors import BadRequest
from controller.settings import Settings, load


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "novella.toml"
    path.write_text(text)
    return path


def test_a_file_overrides_defaults_and_leaves_the_rest(tmp_path: Path) -> None:
    path = written(
        tmp_path, 'state_dir = "/srv/n"\npoll_s = 2\nscheduler_weighers = ["Cpu"]\nlease_s = 9\n'
    )
    settings = load(path, lease_s=7, trusted_proxies=["192.0.2.1"])
    assert settings.trusted_proxies == ("192.0.2.1/32",)
    assert (settings.state_dir, settings.poll_s) == (Path("/srv/n"), 2.0)
    assert (settings.scheduler_weighers, settings.lease_s) == (("Cpu",), 7)
    assert settings.worker_threads == Settings().worker_threads


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("lease = 9", "Unknown setting 'lease'"),
        ('lease_s = "9"', "'lease_s' .* expected a int"),
        ("lease_s = true", "'lease_s' .* expected a int"),
        ("poll_s = true", "'poll_s' .* expected a float"),
        ("state_dir = 9", "'state_dir' .* expected a path"),
        ('scheduler_filters = "Enabled"', "'scheduler_filters' .* expected a list"),
        ('trusted_proxies = "192.0.2.1"', "'trusted_proxies' .* expected a list"),
        ('trusted_proxies = ["proxy1"]', "'trusted_proxies' .* 192.0.2.0/28"),
        ('unique_server_names = "projects"', "none or project or global"),
        ('executor = "Ansible"', "ansible or simulated"),
        ("default_quota = {instance = 1}", "'instance'. Known are: .*, instances, .*, port, "),
        ("default_quota.port = true", "'default_quota' .* port = True; expected a number"),
        ("default_quota = {image_count_total = -2}", "image_count_total = -2; .* -1 for no limit"),
        ("default_quota = 9", "'default_quota' .* expected a dict"),
        ("lease_s = ", "Mend the file"),
        ('hooks = ["check"]', "'hooks' .* expected lists 'operations'"),
        ('hooks = [{operations = ["server_stop"]}]', "'before' or 'after'"),
        ('hooks = [{operations = ["server_halt"], before = ["a"]}]', "'server_halt'"),
        ('hooks = [{operations = ["server_stop"], before = "a"}]', "expected lists"),
        ('hooks = [{operations = ["server_stop"], before = ["a"], when = "x"}]', "'when'"),
        ('hooks = [{operations = ["server_stop"], after = ["a"], aggregate = "x"}]', "one of"),
    ],
)
def test_a_mistake_is_refused_by_name(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        load(written(tmp_path, line))


def test_hooks_are_for_all_hosts_or_an_aggregate_s(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[aggregates]\ngold = ["h1"]\n[[hooks]]\noperations = ["server_stop"]\nbefore = ["/a"]\n'
        'aggregate = "gold"\n',
    )
    (hook,) = load(path).hooks
    assert (hook["before"], load(path).aggregates) == (["/a"], {"gold": ["h1"]})


def test_a_named_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no such file"):
        load(tmp_path / "absent.toml")
