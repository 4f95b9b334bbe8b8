"""A steps file becomes an item's steps; what the item brings stays text."""

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.novella.cloud.plugins.plugin_utils import steps_file


def expand(folder: Path, text: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    path = folder / "steps.yml"
    path.write_text(text)
    loader = DataLoader()
    tasks = steps_file.read(loader, str(path), str(folder))
    return list(steps_file.expand(tasks, Templar(loader, {}), variables))


def test_tenant_text_is_never_a_template(tmp_path: Path) -> None:
    text = """
- name: Guest
  novella.cloud.config_drive:
    server: "{{ server }}"
    title: "name is {{ server.name }}"
"""
    server = {"name": "{{ 7*7 }}", "meta": {"{{ 1+1 }}": "{% raw %}"}}
    [step] = expand(tmp_path, text, {"server": server})
    assert step["args"] == {"server": server, "title": "name is {{ 7*7 }}"}


REFERENCES = [
    ("{{ server.id }}", "x"),
    ("{{ server.tags }}", {"a": ["{{ 7*7 }}"]}),
    ("{{ folder }}/{{ server.id }}", "/kept/x"),
    # Ours, and a template; through a marked text in what a hand gave, too.
    ("{{ path }}", "/kept/x"),
    ("{{ by_hand }}", {"path": "/kept/x"}),
    ("{{ by_hand.path }}", "/kept/x"),
    ("{{ server.none }}", None),
    ("{{ server.none | default('d') }}", None),
    ("{{ server.none | default('d', true) }}", "d"),
    ("{{ server.zero | default(7) | int }}", 0),
    ("{{ server.zero | default(7, true) | int }}", 7),
    ("{{ server.no | default([]) }}", []),
    ("{{ server.no.such | default('d') }}", "d"),
    # Another variable stands in for what is missing.
    ("{{ server.groups | default(groups) }}", [{"id": "{{ 7*7 }}"}]),
    ("{{ server.tags | default(groups) }}", {"a": ["{{ 7*7 }}"]}),
    ("{{ server.groups | default(path) }}", "/kept/x"),
    ("{{ server.yes | bool }}", True),
    ("{{ server.number | int }}", 12),
    ("{{ server.true | bool }}", True),
    # Of a dictionary these are methods, as in any template.
    ("{{ server.copy() == server }}", True),
    ("plain", "plain"),
    (True, True),
]


@pytest.mark.parametrize(("template", "value"), REFERENCES)
def test_a_reference_is_the_value_that_ansible_would_make_of_it(
    tmp_path: Path, template: object, value: object
) -> None:
    text = f"- {{name: A, novella.cloud.qcow2_disk: {{a: {json.dumps(template)}}}}}\n"
    server = {
        "id": "x", "tags": {"a": ["{{ 7*7 }}"]}, "none": None, "zero": 0, "yes": "yes",
        "number": "12", "true": True,
    }  # fmt: skip
    path = trust_as_template("{{ folder }}/{{ server.id }}")
    variables = {
        "server": server, "folder": "/kept", "path": path, "by_hand": {"path": path},
        "groups": [{"id": "{{ 7*7 }}"}],
    }  # fmt: skip
    [step] = expand(tmp_path, text, variables)
    marked = trust_as_template(template) if isinstance(template, str) else template
    by_ansible = Templar(DataLoader(), variables).template(marked)
    # As text: 1 equals True.
    made = [json.dumps(each) for each in (step["args"], {"a": by_ansible}, {"a": value})]
    assert made[0] == made[1] == made[2]


def test_a_method_of_a_dictionary_is_no_entry_of_it(tmp_path: Path) -> None:
    text = "- {name: A, novella.cloud.qcow2_disk: {a: '{{ server.items | default(1) }}'}}\n"
    with pytest.raises(AnsibleError):
        expand(tmp_path, text, {"server": {"items": "mine"}})


def test_a_reference_to_nothing_names_the_step(tmp_path: Path) -> None:
    text = "- {name: Disk, novella.cloud.qcow2_disk: {a: '{{ server.nothing }}'}}\n"
    with pytest.raises(AnsibleError, match=r"Disk.*nothing"):
        expand(tmp_path, text, {"server": {}})


def test_when_skips_a_step_and_keeps_it_in_the_list(tmp_path: Path) -> None:
    text = """
- name: Swap
  novella.cloud.qcow2_disk: {path: /x}
  when: server.swap_mb > 0
"""
    [step] = expand(tmp_path, text, {"server": {"swap_mb": 0}})
    assert step == {"name": "Swap", "module": "novella.cloud.qcow2_disk", "skipped": True}


def test_a_loop_makes_a_step_for_each_turn(tmp_path: Path) -> None:
    text = """
- name: Host
  novella.cloud.dhcp_host: {port_id: "{{ port.id }}"}
  loop: "{{ server.ports }}"
  loop_control: {loop_var: port}
  when: port.id != "b"
"""
    made = expand(tmp_path, text, {"server": {"ports": [{"id": "a"}, {"id": "b"}]}})
    assert made[0]["args"] == {"port_id": "a"}
    assert made[1]["skipped"]


def test_an_include_is_read_from_the_tasks_folder(tmp_path: Path) -> None:
    (tmp_path / "plug.yml").write_text("- name: B\n  novella.cloud.dhcp_host: {a: '{{ given }}'}\n")
    text = """
- name: Plug
  ansible.builtin.include_tasks: plug.yml
  vars: {given: "{{ server.id }}"}
- name: Never
  ansible.builtin.include_tasks: plug.yml
  when: false
"""
    [step] = expand(tmp_path, text, {"server": {"id": "x"}})
    assert step["args"] == {"a": "x"}


def test_omit_leaves_an_argument_out(tmp_path: Path) -> None:
    text = "- {name: A, novella.cloud.qcow2_disk: {size: '{{ server.size | default(omit) }}'}}\n"
    [step] = expand(tmp_path, text, {"server": {}})
    assert step["args"] == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {name: A, novella.cloud.qcow2_disk: {}, register: x}\n", "qcow2_disk, register"),
        ("- {name: A}\n", "no module"),
        ("- {novella.cloud.qcow2_disk: {}}\n", "a task with a name"),
        ("- {name: A, include_tasks: away.yml}\n", "not there"),
        ("a: b\n", "not a list"),
    ],
)
def test_what_only_one_of_the_two_ways_can_do_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(AnsibleError, match=said):
        expand(tmp_path, text, {})


def test_a_missing_variable_names_the_step(tmp_path: Path) -> None:
    text = "- {name: Make it, novella.cloud.qcow2_disk: {path: '{{ server.nothing }}'}}\n"
    with pytest.raises(AnsibleError, match=r"^Make it: .*nothing"):
        expand(tmp_path, text, {"server": {}})


def test_a_step_sees_neither_the_other_items_nor_their_secrets() -> None:
    items, secrets = [{"id": "a"}, {"id": "b"}], {"a": {"admin_pass": "x"}}
    variables = {"servers": list(items), "server_secrets": dict(secrets), "kept": [{"id": "a"}]}
    variables["vars"] = dict(variables)
    seen = steps_file.without({**variables, "empty": [], "text": "a"}, items, secrets)
    assert seen == {"kept": [{"id": "a"}], "empty": [], "text": "a"}
