"""A run's own process sleeps while its worker works, and goes on when that has ended."""

import json
import subprocess
import sys
from pathlib import Path

from controller.runner.warm.waiting import LOOK_EVERY_S
from controller.settings import PROJECT_DIR

# In a process of its own: what it changes in Ansible stays for good.
TRY = """
import json, os, signal, sys, time
from ansible.cli.playbook import PlaybookCLI
from ansible.plugins.strategy import StrategyBase
from controller.runner.warm import waiting

waiting.until_a_task_ends()
looks = []
plainly = StrategyBase._process_pending_results

def look(self, *arguments, **options):
    looks.append(time.monotonic())
    return plainly(self, *arguments, **options)

StrategyBase._process_pending_results = look
status = 0
try:
    PlaybookCLI.cli_executor(["ansible-playbook", "-i", "localhost,", "-c", "local", sys.argv[1]])
except SystemExit as end:
    status = end.code
print(json.dumps([status, len(looks), looks[-1] - looks[0]]))
"""
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.command: {argv: [sleep, "1"]}
    - ansible.builtin.command: {argv: ["true"]}
"""


def ran(play: Path) -> tuple[int, int, float]:
    """Return the exit status, how often results were looked for, and over how many seconds."""
    done = subprocess.run(
        [sys.executable, "-c", TRY, str(play)],
        cwd=PROJECT_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    status, looks, took_s = json.loads(done.stdout.splitlines()[-1])
    return status, looks, took_s


def test_it_looks_seldom_and_all_tasks_end(tmp_path: Path) -> None:
    play = tmp_path / "play.yml"
    play.write_text(PLAY)
    status, looks, took_s = ran(play)
    assert status == 0
    assert took_s > 1
    # Two for each task, beside those of the waiting.
    assert looks < took_s / LOOK_EVERY_S + 8
