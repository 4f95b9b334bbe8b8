"""`apply`: batches of servers, each on its own, with the product's own disk modules as steps."""

import json
import os
import queue
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import (
    apply,
    fence,
    journal,
    steps,
    work,
)

FIRST = "5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
SECOND = "6a2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"
CLOUD = "3f0c8b1e-6f0a-4b7e-8a8e-1f7a2f1d9c55"
MARKER = "__secret_0123456789abcdef__"


def disk_step(state_path: Path, server: str, **arguments: Any) -> dict[str, Any]:
    path = f"{state_path}/instances/{server}/disk.local"
    given = {"path": path, "size_mb": 1, "content": "blank", "state_path": str(state_path)}
    return {
        "name": "Make a disk",
        "module": "novella.cloud.qcow2_disk",
        "args": {**given, **arguments},
        "skipped": False,
    }


def item(server: str, *item_steps: dict[str, Any], generation: int | None = None) -> dict[str, Any]:
    return {
        "id": server,
        "generation": generation,
        "operation_id": None,
        "steps": list(item_steps),
    }


def run(
    state_path: Path, *items: dict[str, Any], check_mode: bool = False, **more: Any
) -> dict[str, Any]:
    params = {
        "items": list(items),
        "secrets": {},
        "secret_marker": MARKER,
        "fence": {"owner": CLOUD, "override": False, "lock_timeout_s": 0},
        "undo_on_failure": False,
        "parallel": 1,
        "steps_file": "steps/server_create.yml",
        "stream": None,
        "state_path": str(state_path),
        **more,
    }
    return apply.run(params, check_mode)


def test_an_item_that_fails_stops_and_the_others_go_on(tmp_path: Path) -> None:
    answer = run(
        tmp_path,
        item(FIRST, disk_step(tmp_path, FIRST, size_mb=0), disk_step(tmp_path, FIRST)),
        item(SECOND, disk_step(tmp_path, SECOND)),
    )
    first, second = answer["results"]
    assert answer["failed"]
    assert FIRST in answer["msg"]
    assert first["failed"]
    assert len(first["steps"]) == 1
    assert second["changed"]
    assert not second["failed"]
    assert Path(f"{tmp_path}/instances/{SECOND}/disk.local").exists()


@pytest.mark.parametrize("width", [1, 2])
def test_items_run_side_by_side_only_when_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    disk = steps.load("qcow2_disk")
    real_run, both_here = disk.run, threading.Barrier(2)

    def meet_the_other(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        both_here.wait(timeout=5 if width > 1 else 0.1)
        result: dict[str, Any] = real_run(params, check_mode)
        return result

    monkeypatch.setattr(disk, "run", meet_the_other)
    items = [item(server, disk_step(tmp_path, server)) for server in (FIRST, SECOND)]
    answer = run(tmp_path, *items, parallel=width)
    assert [result["id"] for result in answer["results"]] == [FIRST, SECOND]
    assert [result["failed"] for result in answer["results"]] == [width == 1] * 2
    for server in (FIRST, SECOND):
        entry = journal.read(str(tmp_path), server)
        assert entry is not None
        assert entry["id"] == server


def test_an_item_that_fails_beside_others_stops_alone(tmp_path: Path) -> None:
    servers = [f"{number:08d}-4f7e-4d5e-9b5c-0f4d4b5d6a10" for number in range(6)]
    sizes = [1, 0, 1, 0, 1, 1]
    items = [
        item(server, disk_step(tmp_path, server, size_mb=size))
        for server, size in zip(servers, sizes, strict=True)
    ]
    results = run(tmp_path, *items, parallel=8)["results"]
    assert [(one["id"], one["failed"]) for one in results] == [
        (server, size == 0) for server, size in zip(servers, sizes, strict=True)
    ]


def test_no_work_function_changes_the_process_that_it_shares() -> None:
    """Items of `apply` run in threads: these calls would reach over into the others."""
    shared = re.compile(r"os\.(umask|chdir|fork|putenv|setns|seteuid)\(|os\.environ\[|signal\.")
    sources = sorted(Path(steps.__file__).parent.glob("*.py"))
    assert len(sources) > 10
    assert [path.name for path in sources if shared.search(path.read_text())] == []


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, item(FIRST, disk_step(tmp_path, FIRST)))["changed"]
    assert not run(tmp_path, item(FIRST, disk_step(tmp_path, FIRST)))["changed"]


def test_check_mode_shows_the_diff_and_makes_nothing_at_all(tmp_path: Path) -> None:
    answer = run(tmp_path, item(FIRST, disk_step(tmp_path, FIRST)), check_mode=True)
    [step] = answer["results"][0]["steps"]
    assert step["changed"]
    assert "qcow2" in step["diff"][0]["after"]
    assert list(tmp_path.iterdir()) == []


def test_every_step_is_validated_before_the_first_one_runs(tmp_path: Path) -> None:
    wrong = disk_step(tmp_path, FIRST, content="ntfs")
    answer = run(tmp_path, item(FIRST, disk_step(tmp_path, FIRST), wrong))
    msg = answer["results"][0]["msg"]
    assert "content" in msg
    assert "ext4, vfat, swap, blank" in msg
    assert not Path(f"{tmp_path}/instances").exists()


def test_only_modules_on_the_list_are_run(tmp_path: Path) -> None:
    shell = {"name": "Shell", "module": "ansible.builtin.shell", "args": {}, "skipped": False}
    msg = run(tmp_path, item(FIRST, shell))["results"][0]["msg"]
    assert "'ansible.builtin.shell' is not one that apply runs" in msg


def test_a_failure_takes_back_what_this_run_made_and_no_more(tmp_path: Path) -> None:
    run(tmp_path, item(FIRST, disk_step(tmp_path, FIRST)))
    another = f"{tmp_path}/instances/{FIRST}/disk.swap"
    answer = run(
        tmp_path,
        item(
            FIRST,
            disk_step(tmp_path, FIRST),
            disk_step(tmp_path, FIRST, path=another),
            disk_step(tmp_path, FIRST, path=f"{tmp_path}/elsewhere"),
        ),
        undo_on_failure=True,
    )
    [result] = answer["results"]
    assert result["failed"]
    assert [undone["failed"] for undone in result["undone"]] == [False]
    assert not Path(another).exists()
    assert Path(f"{tmp_path}/instances/{FIRST}/disk.local").exists()


def test_a_run_that_was_succeeded_makes_nothing_and_undoes_nothing(tmp_path: Path) -> None:
    fence.claim(str(tmp_path), fence.Claim(FIRST, CLOUD, 5))
    answer = run(tmp_path, item(FIRST, disk_step(tmp_path, FIRST), generation=4))
    [result] = answer["results"]
    assert result["failed"]
    assert result["fenced"]
    assert not Path(f"{tmp_path}/instances").exists()
    assert journal.read(str(tmp_path), FIRST) is None


def test_all_of_a_batch_are_claimed_before_the_first_is_worked_on(tmp_path: Path) -> None:
    with fence.held(str(tmp_path), FIRST, 0):
        answer = run(
            tmp_path,
            item(FIRST, disk_step(tmp_path, FIRST), generation=2),
            item(SECOND, disk_step(tmp_path, SECOND), generation=2),
        )
    assert [result["failed"] for result in answer["results"]] == [True, False]
    # The run that holds the lock finds this when it looks again.
    assert fence.read(str(tmp_path), FIRST) == fence.Record(CLOUD, 2)


def test_a_step_in_the_middle_is_stopped_by_a_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = steps.load("qcow2_disk")
    real_run = disk.run

    def succeeded_meanwhile(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        result: dict[str, Any] = real_run(params, check_mode)
        fence.claim(str(tmp_path), fence.Claim(FIRST, CLOUD, 2))
        return result

    monkeypatch.setattr(disk, "run", succeeded_meanwhile)
    second = disk_step(tmp_path, FIRST, path=f"{tmp_path}/instances/{FIRST}/disk.swap")
    answer = run(
        tmp_path,
        item(FIRST, disk_step(tmp_path, FIRST), second, generation=1),
        undo_on_failure=True,
    )
    [result] = answer["results"]
    assert "Stopped before the next step" in result["msg"]
    assert "undone" not in result
    assert Path(f"{tmp_path}/instances/{FIRST}/disk.local").exists()
    assert not Path(f"{tmp_path}/instances/{FIRST}/disk.swap").exists()


def test_each_result_is_kept_in_the_journal_under_its_operation(tmp_path: Path) -> None:
    operation = "0d1e2f3a-4f7e-4d5e-9b5c-0f4d4b5d6a10"
    one = {**item(FIRST, disk_step(tmp_path, FIRST), generation=3), "operation_id": operation}
    run(tmp_path, one)
    entry = journal.read(str(tmp_path), operation)
    assert entry is not None
    assert (entry["id"], entry["generation"], entry["failed"]) == (FIRST, 3, False)


def test_a_secret_reaches_its_step_and_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = steps.load("qcow2_disk")
    seen = {}

    def leaky(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        seen.update(params)
        raise steps.work.WorkError(f"could not read {params['path']}", told=params["path"])

    monkeypatch.setattr(disk, "run", leaky)
    step = disk_step(tmp_path, FIRST, path={MARKER: "admin_pass"})
    answer = run(tmp_path, item(FIRST, step), secrets={FIRST: {"admin_pass": "/s3cret"}})
    assert seen["path"] == "/s3cret"
    assert "s3cret" not in json.dumps(answer)
    assert "s3cret" not in json.dumps(journal.read(str(tmp_path), FIRST))


def test_a_tenants_text_is_no_reference_to_a_secret() -> None:
    tenant = {"meta": {"__secret__": "admin_pass"}}
    assert steps.resolve_secrets(tenant, MARKER, {"admin_pass": "x"}) == tenant


def test_what_base64_hides_is_hidden_too() -> None:
    hidden = steps.secret_texts({"user_data": "aGVsbG8gd29ybGQ="})
    assert steps.cleaned({"a": ["say hello world", 1, True]}, hidden) == {
        "a": ["say (hidden)", 1, True]
    }


def test_a_fault_of_ours_fails_its_item_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = steps.load("qcow2_disk")
    real_run = disk.run

    def broken(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        if FIRST in params["path"]:
            raise KeyError("oops")
        result: dict[str, Any] = real_run(params, check_mode)
        return result

    monkeypatch.setattr(disk, "run", broken)
    answer = run(
        tmp_path,
        item(FIRST, disk_step(tmp_path, FIRST)),
        item(SECOND, disk_step(tmp_path, SECOND)),
    )
    assert [result["failed"] for result in answer["results"]] == [True, False]
    assert "KeyError" in answer["results"][0]["msg"]


def of_operation(generation: int, operation_id: str = "op1", **step: Any) -> dict[str, Any]:
    made = item(
        FIRST, disk_step(Path(step.pop("state_path")), FIRST, **step), generation=generation
    )
    return {**made, "operation_id": operation_id}


def test_what_an_earlier_run_of_the_operation_has_done_is_not_repeated(tmp_path: Path) -> None:
    (first,) = run(tmp_path, of_operation(3, state_path=tmp_path))["results"]
    disk = Path(f"{tmp_path}/instances/{FIRST}/disk.local")
    disk.unlink()
    (second,) = run(tmp_path, of_operation(4, state_path=tmp_path))["results"]
    assert second == {**first, "done_before": True}
    assert not disk.exists()


@pytest.mark.parametrize(("version", "counts"), [(None, True), (1, True), (2, False), ("x", False)])
def test_a_result_in_a_form_that_is_not_known_is_worked_for_again(
    tmp_path: Path, version: object, counts: bool
) -> None:
    """None is what was written before there were versions."""
    (first,) = run(tmp_path, of_operation(3, state_path=tmp_path))["results"]
    entry = journal.read(str(tmp_path), "op1") or {}
    assert entry.pop("format_version") == first["format_version"] == 1
    written = entry if version is None else {**entry, "format_version": version}
    journal.write(str(tmp_path), "op1", written)
    (second,) = run(tmp_path, of_operation(4, state_path=tmp_path))["results"]
    assert second.get("done_before", False) is counts
    assert second["format_version"] == 1


@pytest.mark.parametrize(
    ("between", "later"),
    [
        ({}, {"steps_file": "steps/server_delete.yml"}),
        ({}, {"operation_id": "op2"}),
        # Another operation's run came between: what stood may stand no more.
        ({"generation": 4, "operation_id": "op2"}, {}),
    ],
)
def test_a_result_counts_for_its_steps_and_while_nobody_came_between(
    tmp_path: Path, between: dict[str, Any], later: dict[str, Any]
) -> None:
    run(tmp_path, of_operation(3, state_path=tmp_path))
    if between:
        run(tmp_path, of_operation(**between, state_path=tmp_path))
    disk = Path(f"{tmp_path}/instances/{FIRST}/disk.local")
    disk.unlink()
    again = of_operation(5, later.pop("operation_id", "op1"), state_path=tmp_path)
    (result,) = run(tmp_path, again, **later)["results"]
    assert "done_before" not in result
    assert disk.exists()


def test_what_has_failed_is_tried_again(tmp_path: Path) -> None:
    (first,) = run(tmp_path, of_operation(3, state_path=tmp_path, size_mb=0))["results"]
    (second,) = run(tmp_path, of_operation(4, state_path=tmp_path))["results"]
    assert first["failed"]
    assert not second["failed"]
    assert second["steps"]


def test_results_are_streamed_while_the_others_are_worked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "journal").mkdir()
    fifo = tmp_path / "journal" / "0123456789abcdef.fifo"
    os.mkfifo(fifo)
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        with fifo.open() as stream:
            for line in stream:
                lines.put(line)

    reader = threading.Thread(target=read)
    reader.start()
    disk = steps.load("qcow2_disk")
    real_run = disk.run

    def look(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        if SECOND in params["path"]:
            assert json.loads(lines.get(timeout=10))["id"] == FIRST
        result: dict[str, Any] = real_run(params, check_mode)
        return result

    monkeypatch.setattr(disk, "run", look)
    answer = run(
        tmp_path,
        item(FIRST, disk_step(tmp_path, FIRST)),
        item(SECOND, disk_step(tmp_path, SECOND)),
        stream=fifo.stem,
    )
    reader.join(10)
    assert not answer["failed"], answer["msg"]
    assert json.loads(lines.get(timeout=10)) == answer["results"][1]


def test_nobody_at_the_other_end_of_the_stream_stops_no_work(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    os.mkfifo(tmp_path / "journal" / "0123456789abcdef.fifo")
    step = disk_step(tmp_path, FIRST)
    assert not run(tmp_path, item(FIRST, step), stream="0123456789abcdef")["failed"]
    with pytest.raises(work.WorkError, match="hexadecimal"):
        run(tmp_path, item(FIRST, step), stream="../../etc/passwd")


def test_a_run_whose_connection_is_gone_stops_at_its_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(fence, "STDOUT", writer)
    disk = steps.load("qcow2_disk")
    real_run = disk.run

    def hang_up(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        os.close(reader)
        result: dict[str, Any] = real_run(params, check_mode)
        return result

    monkeypatch.setattr(disk, "run", hang_up)
    first, second = disk_step(tmp_path, FIRST), disk_step(tmp_path, FIRST)
    second["args"]["path"] = second["args"]["path"].replace("disk.local", "disk.swap")
    (result,) = run(tmp_path, item(FIRST, first, second), undo_on_failure=True)["results"]
    os.close(writer)
    assert "connection of this run is gone" in result["msg"]
    # Nothing is taken back: its successor goes on from there.
    assert Path(first["args"]["path"]).exists()
    assert not Path(second["args"]["path"]).exists()


HOST = "7c2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10"


def of_host(generation: int) -> dict[str, Any]:
    fence_of_host = {"host_id": HOST, "host_generation": generation}
    return {"owner": CLOUD, "override": False, "lock_timeout_s": 0, **fence_of_host}


def test_an_older_run_about_the_whole_host_is_refused(tmp_path: Path) -> None:
    run(tmp_path, item(FIRST, generation=7), fence=of_host(5))
    step = disk_step(tmp_path, FIRST)
    (late,) = run(tmp_path, item(FIRST, step, generation=7), fence=of_host(4))["results"]
    assert late["fenced"]
    assert "succeeded by 5" in late["msg"]
    assert not Path(step["args"]["path"]).exists()
    (newer,) = run(tmp_path, item(FIRST, step, generation=7), fence=of_host(6))["results"]
    assert not newer["failed"], newer["msg"]


def test_a_run_about_the_whole_host_stops_when_a_newer_one_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = steps.load("qcow2_disk")
    real_run, later = disk.run, []

    def wake_late(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
        result: dict[str, Any] = real_run(params, check_mode)
        if not later:
            later.append(run(tmp_path, item(SECOND, generation=1), fence=of_host(6)))
        return result

    monkeypatch.setattr(disk, "run", wake_late)
    first, second = (
        run(
            tmp_path,
            item(FIRST, disk_step(tmp_path, FIRST), generation=7),
            item(SECOND, disk_step(tmp_path, SECOND), generation=1),
            fence=of_host(5),
        )
    )["results"]
    assert not first["failed"]
    assert second["fenced"]
    # The newer one changed nothing either while the older was at work.
    assert later[0]["results"][0]["fenced"]
    assert not Path(f"{tmp_path}/instances/{SECOND}").exists()
