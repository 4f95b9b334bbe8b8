"""A copy of Ansible's variables can be changed as before; only what can't be is not made anew."""

import subprocess
import sys

from controller.settings import PROJECT_DIR

# In a process of its own: what it changes in Ansible stays for good.
TRY = """
import copy
from ansible.cli import playbook
from ansible.parsing.dataloader import DataLoader
from ansible.template import is_trusted_as_template, trust_as_template
from ansible._internal._datatag._tags import Origin
from controller.runner.warm import copies

copies.spare()
text = trust_as_template("a: [{b: '{{ c }}', d: 1}, !unsafe '{{ e }}']")
read = DataLoader().load(text, file_name="/f.yml")
copied = copy.deepcopy(read)
{body}
"""


def said(body: str) -> str:
    """Return what `body` prints of `read` and its copy `copied`."""
    done = subprocess.run(
        [sys.executable, "-c", TRY.replace("{body}", body)],
        cwd=PROJECT_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_the_copy_loses_or_gains_the_original_does_not() -> None:
    body = "copied['a'][0]['b'] = 2; copied['a'].append(3); copied['x'] = 4; print(read)"
    assert said(body) == "{'a': [{'b': '{{ c }}', 'd': 1}, '{{ e }}']}"


def test_a_copy_is_trusted_as_its_original_and_no_more() -> None:
    body = "first, second = copied['a']; print(*map(is_trusted_as_template, (first['b'], second)))"
    assert said(body) == "True False"


def test_a_copy_knows_where_it_was_read() -> None:
    assert said("print(*(Origin.get_tag(each['a']).path for each in (read, copied)))") == (
        "/f.yml /f.yml"
    )


def test_texts_are_not_made_anew() -> None:
    assert said("print(copied['a'][0]['b'] is read['a'][0]['b'])") == "True"
