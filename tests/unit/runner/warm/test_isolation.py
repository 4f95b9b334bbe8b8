"""What a warm run has for its own: everything that a started ansible-playbook would have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest


def test_a_run_has_its_own_environment_and_nothing_of_the_servers_or_of_another_runs(
    shared: Any, tmp_path: Path
) -> None:
    first = shared.probe(OWN="one", ONCE="yes")
    second = shared.probe(OWN="two")
    assert (first["environment"]["OWN"], second["environment"]["OWN"]) == ("one", "two")
    assert "ONCE" not in second["environment"]
    assert "c4n4ry-of-the-server" not in str(second)
    assert second["environment"]["HOME"] != first["environment"]["HOME"]
    # The server itself has this one.
    bare = shared.probe(without=["AWX_ISOLATED_DATA_DIR"], ANSIBLE_HOME=str(tmp_path))
    assert "AWX_ISOLATED_DATA_DIR" not in bare["environment"]


def test_a_run_is_where_its_client_is_with_its_umask(shared: Any, tmp_path: Path) -> None:
    ran = shared.run(
        {
            "name": "Look",
            "ansible.builtin.debug": {
                "msg": "at {{ lookup('pipe', 'umask') }} {{ lookup('env', 'X') }}"
            },
        },
        umask=0o027,
        folder=tmp_path,
        X="x",
    )
    assert "at 0027 x" in ran.said
    assert shared.probe(umask=0o077)["umask"] == 0o077
    assert shared.probe(umask=0o002)["umask"] == 0o002


def test_a_relative_path_is_from_the_clients_folder(shared: Any, tmp_path: Path) -> None:
    (tmp_path / "more.yml").write_text("word: from the folder of the client\n")
    ran = shared.run(
        {"name": "Say", "ansible.builtin.debug": {"msg": "{{ word }}"}},
        arguments=["-e", "@more.yml"],
        folder=tmp_path,
    )
    assert (ran.status, ran.warm) == (0, True)
    assert "from the folder of the client" in ran.said


def test_a_run_has_none_of_the_servers_files_open(shared: Any) -> None:
    files = shared.probe()["files"]
    assert not [name for name in files if name.startswith("socket:") or "server.log" in name]
    assert [name for name in files if "/said" in name], "its own output is"


def test_a_run_has_its_own_locale_and_time_zone(shared: Any) -> None:
    assert shared.probe(TZ="Asia/Tokyo")["timezone"] == ["JST", "JST"]
    assert shared.probe(TZ="UTC")["timezone"] == ["UTC", "UTC"]
    # As of a started one: Ansible refuses it.
    refused = shared.run(LC_ALL="POSIX")
    assert refused.warm
    assert refused.status != 0
    assert "requires the locale encoding to be UTF-8" in refused.said


def test_the_vault_secret_of_a_run_is_no_other_runs(shared: Any, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("c4n4ry-vault-password")
    sealed = _sealed("hidden words", "c4n4ry-vault-password")
    variables = tmp_path / "variables.yml"
    variables.write_text(f"word: !vault |\n{sealed}")
    say = {"name": "Say", "ansible.builtin.debug": {"msg": "{{ word }}"}}
    given = ["-e", f"@{variables}"]
    opened = shared.run(say, arguments=[*given, "--vault-password-file", str(password)])
    assert (opened.status, opened.warm) == (0, True)
    assert "hidden words" in opened.said
    closed = shared.run(say, arguments=given)
    assert closed.warm
    assert "hidden words" not in closed.said


def _sealed(text: str, password: str) -> str:
    from ansible.parsing.vault import VaultLib, VaultSecret

    content = VaultLib([("default", VaultSecret(password.encode()))]).encrypt(text.encode())
    return "".join(f"  {line}\n" for line in content.decode().splitlines())


def test_the_server_never_reads_what_a_run_is_given(shared: Any) -> None:
    secret = "c4n4ry-become-" + "s3cret"
    ran = shared.run(
        {"name": "Say", "ansible.builtin.debug": {"msg": "said"}},
        arguments=["-e", f"ansible_become_password={secret}"],
        BECOME=secret,
    )
    assert (ran.status, ran.warm) == (0, True)
    assert secret.encode() not in _memory(shared.server.pid)
    # What is looked through is the right memory.
    assert b"c4n4ry-of-the-server" not in _memory(shared.server.pid)
    assert str(shared.path).encode() in _memory(shared.server.pid)


def _memory(pid: int) -> bytes:
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span = re.match(r"(\w+)-(\w+) rw", line)
            if span:
                first, last = (int(part, 16) for part in span.groups())
                memory.seek(first)
                found.append(memory.read(last - first))
    return b"".join(found)


def test_a_run_has_a_temporary_folder_of_its_own_which_goes_with_it(shared: Any) -> None:
    first, second = shared.probe(), shared.probe()
    for seen in (first, second):
        folder = Path(seen["temporary"])
        assert folder.parent == Path(seen["environment"]["ANSIBLE_LOCAL_TEMP"])
        assert folder.name.startswith("ansible-local-")
        assert not folder.exists()
    assert first["temporary"] != second["temporary"]


def test_runs_draw_different_lots(shared: Any) -> None:
    first, second = shared.probe()["chance"], shared.probe()["chance"]
    assert [one for one, other in zip(first, second, strict=True) if one == other] == []


@pytest.mark.parametrize("more", [{}, {"ANSIBLE_LOCAL_TEMP": "/tmp"}])
def test_a_run_is_configured_as_a_plain_one(shared: Any, more: dict[str, str]) -> None:
    warm = shared.probe(**more)
    plain_out = shared.path / "plain"
    plain = shared.run(
        {"name": "Look", "probe": {"to": str(plain_out)}}, NOVELLA_FORK_SERVER="", **more
    )
    assert (plain.status, plain.warm, plain.why) == (0, False, "no fork server is set")
    found = json.loads(plain_out.read_text())
    assert _normal(warm) == _normal(found)


def _normal(seen: dict[str, Any]) -> dict[str, str]:
    home = seen["environment"]["HOME"]
    return {
        name: re.sub(r"ansible-local-\w+", "TMP", value.replace(home, "HOME"))
        for name, value in seen["constants"].items()
    }
