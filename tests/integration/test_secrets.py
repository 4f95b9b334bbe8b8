"""Secrets canary: what is secret is nowhere but where it is needed, in memory and in the guest."""

import base64
import json
import os
import secrets
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.settings import load
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab

SAMPLE_EVERY_S = 0.02


def forms(secret: str) -> set[bytes]:
    """Return how a secret may look: as it is, and within the base64 of a longer text."""
    raw = secret.encode()
    found = {raw}
    for shift in range(3):
        # The digits that don't depend on what stands before or after it.
        digits = base64.b64encode(b"\0" * shift + raw)
        found.add(digits[4 if shift else 0 : len(digits) // 4 * 4 - 4])
    return found


class Canaries:
    """Secrets by what they are, and where each was found."""

    def __init__(self, **known: str) -> None:
        self._known = {name: forms(secret) for name, secret in known.items()}
        self.found: set[str] = set()

    def look_in(self, content: bytes, where: str) -> None:
        for name, looks in self._known.items():
            if any(look in content for look in looks):
                self.found.add(f"{name} in {where}")

    def look_below(self, folder: Path, *, without: tuple[Path, ...] = ()) -> int:
        """Look through all files below `folder`; return how many they were."""
        count = 0
        for path in folder.rglob("*"):
            if path.is_file() and not any(path.is_relative_to(each) for each in without):
                self.look_in(path.read_bytes(), str(path))
                count += 1
        return count

    @contextmanager
    def looking_at_processes(self) -> Iterator[list[int]]:
        """Within the block, look at command lines and environments of all processes."""
        stop, rounds = threading.Event(), [0]

        def sample() -> None:
            while not stop.wait(SAMPLE_EVERY_S):
                for entry in Path("/proc").glob("[0-9]*"):
                    for name in ("cmdline", "environ"):
                        self._look_at(entry, name)
                rounds[0] += 1

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield rounds
        finally:
            stop.set()
            thread.join()

    def _look_at(self, entry: Path, name: str) -> None:
        try:
            content = (entry / name).read_bytes()
        except OSError:
            return
        self.look_in(content, f"{name} of a process ({content[:60]!r})")


def test_a_canary_is_found_where_there_is_one(tmp_path: Path) -> None:
    """The test of the test: each form is seen, in files and in a process."""
    secret = f"c4n4ry{secrets.token_hex(8)}"
    for number in range(3):
        text = "x" * number + secret + "y" * number
        (tmp_path / str(number)).write_bytes(base64.b64encode(text.encode()))
    canaries = Canaries(word=secret)
    assert canaries.look_below(tmp_path) == 3
    assert len(canaries.found) == 3
    with canaries.looking_at_processes() as rounds:
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"sleep 1; : {secret}"], {"PATH": "/bin"})
        os.waitpid(pid, 0)
    assert rounds[0] > 0
    assert any("cmdline of a process" in found for found in canaries.found)


def test_secrets_are_in_no_file_log_table_or_command_line(cloud: CloudForTests) -> None:
    settings = load(cloud.cloud.config)
    logins = yaml.safe_load(cloud.cloud.clouds_yaml.read_text())["clouds"]
    word, password = (f"c4n4ry{secrets.token_hex(12)}" for _ in range(2))
    key = cloud.tenant.compute.create_keypair(name="canary")
    canaries = Canaries(
        user_data=word,
        admin_password=password,
        # A line of it: of the head and the end all keys have the same.
        private_key=key.private_key.splitlines()[3],
        tenants_token=cloud.tenant.authorize(),
        admins_token=cloud.admin.authorize(),
        tenants_password=logins["tenant"]["auth"]["password"],
        admins_password=logins["admin"]["auth"]["password"],
    )
    script = f"#!/bin/sh\necho {word} > /root/canary\n"
    with canaries.looking_at_processes() as rounds:
        server = cloud.boot(
            "canary",
            user_data=base64.b64encode(script.encode()).decode(),
            admin_password=password,
            config_drive=True,
        )
        cloud.tenant.compute.reboot_server(server, "HARD")
        server = cloud.settle(server)
    assert rounds[0] > 5
    # It did get to where it is needed.
    assert cloud.in_guest(server, "cat /root/canary").strip() == word
    shown = _commands(cloud, server)
    host = cloud.host_of(server)
    cloud.tenant.compute.delete_keypair(key)

    directory = cloud.cloud.directory
    # The hosts' disks hold what guests are given; clouds.yaml is the users' own.
    count = canaries.look_below(directory, without=(cloud.cloud.lab_dir, cloud.cloud.clouds_yaml))
    assert count > 10
    assert (settings.state_dir / "novella.db").is_file()
    assert any(settings.artifacts_dir.rglob("result.json"))
    canaries.look_below(settings.runs_dir)
    canaries.look_in(shown.encode(), "novella operation")
    for name, secret in (("user data", word), ("password", password)):
        places = ("/var/lib/novella/journal", "/var/log", "/root", "/tmp", "/run/novella")
        found = cloud.on_host(host, "grep", "-rlF", "-e", secret, *places, check=False).stdout
        canaries.found |= {f"{name} in {host}:{path}" for path in found.splitlines()}
    assert canaries.found == set()
    cloud.delete(server)


def _by_hand(cloud: CloudForTests, operation_id: str) -> str:
    """Return what the command that `show` ends with prints; it must work as it stands."""
    shown = json.loads(cloud.cloud.novella("operation", "show", operation_id, "--json"))
    command = shlex.split(next(run for run in shown["runs"] if not run["check"])["again"])
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _commands(cloud: CloudForTests, server: Any) -> str:
    """Return what the operator's commands and the API's events say of the server."""
    said = cloud.cloud.novella("operation", "list", "--server", server.id, "--json")
    ids = [operation["id"] for operation in json.loads(said)]
    for operation_id in ids:
        said += cloud.cloud.novella("operation", "show", operation_id, "--json")
    said += cloud.cloud.novella("operation", "rerun", ids[0], "--check")
    said += _by_hand(cloud, ids[0])
    for action in cloud.admin.compute.server_actions(server):
        said += str(cloud.admin.compute.get_server_action(action.request_id, server).to_dict())
    return said
