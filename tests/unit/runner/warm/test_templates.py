"""Templates are compiled once, and mean what they meant."""

import subprocess
import sys

from controller.settings import PROJECT_DIR

# In a process of its own: what it changes in Ansible stays for good.
TRY = """
import sys
from pathlib import Path
from ansible.cli import playbook
from ansible.plugins.loader import init_plugin_loader
init_plugin_loader([])
from ansible.template import Templar, trust_as_template
from controller.runner.warm import parsed, templates

def rendered(text, **variables):
    return Templar(variables=variables).template(trust_as_template(text))

{body}
"""


def tried(body: str) -> str:
    """Return what `body` prints, with `templates` and `rendered` at hand."""
    program = TRY.format(body=body)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_text_is_compiled_once_and_rendered_with_each_ones_variables() -> None:
    said = tried("""
from ansible._internal._templating._jinja_bits import AnsibleEnvironment
compiled = []
plainly = AnsibleEnvironment._generate
AnsibleEnvironment._generate = lambda *a, **k: compiled.append(1) or plainly(*a, **k)
templates.keep()
print([rendered("{{ a }} and {{ b | upper }}", a=n, b="x") for n in range(3)], len(compiled))
""")
    assert said == "['0 and X', '1 and X', '2 and X'] 1\n"


def test_an_expression_is_compiled_once_and_evaluated_with_each_ones_variables() -> None:
    said = tried("""
from ansible._internal._templating._jinja_bits import AnsibleEnvironment
compiled = []
plainly = AnsibleEnvironment._generate
AnsibleEnvironment._generate = lambda *a, **k: compiled.append(1) or plainly(*a, **k)
templates.keep()
holds = trust_as_template("a | default(0) | int > 1")
print([Templar(variables={"a": n}).evaluate_conditional(holds) for n in (1, 2, 3)], len(compiled))
print(rendered("a | default(0) | int > 1", a=1), rendered("{{ a | default(0) | int > 1 }}", a=2))
""")
    assert said == "[False, True, True] 1\na | default(0) | int > 1 True\n"


def test_a_filter_is_looked_for_once_and_one_that_is_not_there_is_said_so() -> None:
    said = tried("""
from ansible.plugins.loader import filter_loader
asked = []
plainly = filter_loader.get
filter_loader.get = lambda name, *a, **k: asked.append(name) or plainly(name, *a, **k)
templates.keep()
for n in range(2):
    print(rendered("{{ a | ansible.builtin.bool }}", a="yes"))
print(asked)
try:
    rendered("{{ a | no_such.filter.here }}", a=1)
except Exception as error:
    print(error)
""")
    assert said.splitlines()[:3] == ["True", "True", "['ansible.builtin.bool']"]
    assert "no_such.filter.here" in said.splitlines()[3]


SYNTAXES = r"""
print(rendered("[[ a ]]{{ a }}", a=1))
header = "#jinja2: variable_start_string:'[[', variable_end_string:']]'\n"
print(rendered(header + "[[ a ]]{{ a }}", a=1))
escapes = trust_as_template("{{ a | replace('\\.', '-') }}")
for escape in (True, False):
    print(Templar(variables={"a": r"x\.y.z"}).template(escapes, escape_backslashes=escape))
"""


def test_the_same_text_in_another_syntax_is_another_template() -> None:
    assert tried("templates.keep()" + SYNTAXES) == tried(SYNTAXES)


def test_the_texts_of_our_roles_are_compiled_ahead() -> None:
    said = tried("""
parsed.keep(Path.cwd())
templates.keep()
templates.compile_ahead(Path.cwd())
texts = {key[0] for key in templates._kept}
print(Path("templates/libvirt_domain.xml.j2").read_text() in texts)
print("{{ compute_state_path }}/instances/{{ server.id }}" in texts)
conditions = {key[1] for key in templates._kept if key[0] == "expression"}
own = "server.config_drive | default(false) | bool and __server_config_drive_is_ours"
print(own in conditions)
""")
    assert said == "True\nTrue\nTrue\n"
