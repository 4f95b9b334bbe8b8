"""Artifacts: enough for an operator, no more than its bounds, and for the controller alone."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.runner import artifacts
from controller.runner.requests import OK, HostResult, Run, RunResult
from controller.runner.run_folder import run_folder
from controller.ssh import HostAccess

HOST = HostAccess(
    id="aaaa", name="h1", address="192.0.2.1", port=22, private_key=Path("/keys/id_ed25519"),
    host_keys=("ssh-ed25519 AAAA",),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def keep(
    tmp_path: Path, *items: dict[str, Any], said: str = "", operations: tuple[str, ...] = ("op1",)
) -> Path:
    """Keep a run with these items; return its folder, of the first operation."""
    run = Run(
        id="run1", playbook="play", hosts=(HOST,), arguments={"servers": []},
        secrets={"s1": {"admin_pass": "c4n4ry"}}, keep_as=operations,
        about={each: {"request_id": "req-1", "server_id": "s1"} for each in operations},
    )  # fmt: skip
    own = tmp_path / "runs" / "own"
    own.mkdir(parents=True, exist_ok=True)
    own.parent.chmod(0o700)
    stdout = tmp_path / "stdout"
    stdout.write_text(said)
    result = RunResult(OK, {"aaaa": HostResult(OK, list(items))})
    with run_folder(own, run) as folder:
        artifacts.keep(tmp_path / "artifacts", 3, run, folder, stdout, result)
    return artifacts.of_operation(tmp_path / "artifacts", operations[0])[-1].path


def test_they_are_for_the_controllers_user_alone(tmp_path: Path) -> None:
    folder = keep(tmp_path, said="ok")
    for path in (folder, *folder.parents[:2]):
        assert path.stat().st_mode & 0o777 == 0o700
    files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert set(files.values()) == {0o600}
    assert len(files) == 6
    assert not any("c4n4ry" in path.read_text() for path in folder.iterdir())


def test_results_say_which_request_and_server_they_are_of(tmp_path: Path) -> None:
    said = json.loads((keep(tmp_path) / "result.json").read_text())
    assert (said["operation_id"], said["request_id"], said["server_id"]) == ("op1", "req-1", "s1")


def test_the_inventory_works_after_the_run_is_gone(tmp_path: Path) -> None:
    folder = keep(tmp_path)
    text = (folder / "inventory.yml").read_text()
    assert str(tmp_path / "runs") not in text
    assert f"UserKnownHostsFile={folder / 'known_hosts'}" in text
    assert (folder / "known_hosts").read_text() == "aaaa ssh-ed25519 AAAA\n"


@pytest.mark.parametrize(
    "step",
    [
        {"name": "x", "diff": {"before": "", "after": "y" * (8 << 20)}},
        {"name": "x" * (8 << 20), "msg": "\n" * (1 << 20)},
        {"name": "x", "result": {str(number): number for number in range(300_000)}},
        {"name": "x", "diff": [{"before": "a\n", "after": "b\n"}] * 200_000},
    ],
    ids=["one long text", "long names", "many keys", "many diffs"],
)
def test_a_host_that_says_too_much_is_cut_short(tmp_path: Path, step: dict[str, Any]) -> None:
    folder = keep(tmp_path, {"id": "s1", "steps": [step]}, said="z" * (3 << 20) + "the end")
    for path in folder.iterdir():
        assert path.stat().st_size <= artifacts.SAID_MAX_BYTES
    said = json.loads((folder / "result.json").read_text())
    assert said["status"] == OK
    assert (folder / "stdout.txt").read_text().endswith("the end")


class Counted(list[Any]):
    """A list that counts how much of it is looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[Any]:
        for each in super().__iter__():
            self.looked_at += 1
            yield each


def test_no_more_of_it_is_looked_at_than_could_be_kept(tmp_path: Path) -> None:
    diffs = Counted([{"before": "a\n", "after": "b\n"}] * 200_000)
    keep(tmp_path, {"id": "s1", "steps": [{"name": "x", "diff": diffs}]})
    # 19 characters each as text, and twice as JSON of 40.
    assert diffs.looked_at < 3 * artifacts.SAID_MAX_BYTES / 19


def test_equal_texts_are_no_diff() -> None:
    def text(before: str, after: str) -> str:
        diff = {"before": before, "after": after}
        item = {"id": "s1", "steps": [{"name": "x", "diff": diff}]}
        return artifacts.diff_text(HostResult(OK, [item]))

    assert text("a+b\n", "a+b\n") == ""
    assert text("a+b\n", "a-b\n") == "== s1: x ==\n-a+b\n+a-b\n"


def test_a_batchs_result_is_cut_once_for_all_its_operations(tmp_path: Path) -> None:
    operations = ("op1", "op2", "op3")
    step = {"name": "x", "msg": "y" * (artifacts.TEXT_MAX // 2)}
    folder = keep(tmp_path, {"id": "s1", "steps": [step] * 60}, operations=operations)
    found = [artifacts.of_operation(tmp_path / "artifacts", each)[0] for each in operations]
    assert [kept.result["operation_id"] for kept in found] == [*operations]
    hosts = [kept.result["hosts"] for kept in found]
    assert hosts[0] == hosts[1] == hosts[2]
    # Sixty such texts are too long; at half their length they fit.
    (item,) = hosts[0]["aaaa"]["items"]
    assert item["steps"][59]["msg"].startswith("y" * (artifacts.TEXT_MAX // 8))
    assert (folder / "result.json").stat().st_size <= artifacts.SAID_MAX_BYTES


def test_only_the_newest_operations_keep_theirs(tmp_path: Path) -> None:
    for number in range(5):
        folder = keep(tmp_path, operations=(f"op{number}",))
        os.utime(folder.parent, (number, number))
    assert sorted(path.name for path in (tmp_path / "artifacts").iterdir()) == ["op2", "op3", "op4"]


def test_a_torn_result_is_no_result(tmp_path: Path) -> None:
    folder = keep(tmp_path)
    (folder / "result.json").write_text('{"status": ')
    (folder / "diff.txt").unlink()
    [kept] = artifacts.of_operation(tmp_path / "artifacts", "op1")
    assert (kept.playbook, kept.result, kept.diff) == ("play", {}, "")
    assert artifacts.of_operation(tmp_path / "artifacts", "other") == []
