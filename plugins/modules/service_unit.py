#!/usr/bin/python
"""Keep a process running under the host's supervisor; the work is module_utils/service_units.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_unit
short_description: Keep a process running under systemd or s6
description:
  - Defines a supervised service C(novella-<name>) and brings it into a state.
  - With systemd it writes a unit; with s6 a service folder below C(/run/novella/services), linked
    from C(/run/service), which goes when the host boots.
  - A definition that changed restarts a service that runs.
options:
  name:
    description: The service's name, without the prefix C(novella-).
    type: str
    required: true
  state:
    description:
      - V(restarted) always restarts, the other states describe the result.
      - V(restarted) without O(argv) keeps the definition, and leaves a service alone that isn't up.
    type: str
    choices: [started, restarted, stopped, absent]
    default: started
  argv:
    description: The program (whole path) and its arguments. Needed for
      O(state=started) and O(state=stopped).
    type: list
    elements: str
  description:
    description: A line for people.
    type: str
  user:
    description: The user it runs as, without any capability unless that is root.
    type: str
    default: root
  netns:
    description: A network namespace that C(ip netns) lists. With systemd the unit is skipped
      without a failure while the namespace is not there.
    type: str
  environment:
    description: Variables of the process.
    type: dict
    default: {}
  working_directory:
    description: The folder that it starts in.
    type: path
  enabled:
    description: Whether systemd starts it at boot. s6 knows no such thing here.
    type: bool
    default: false
  backend:
    description: V(auto) takes systemd if that runs, else s6, else refuses.
    type: str
    choices: [auto, systemd, s6]
    default: auto
extends_documentation_fragment:
  - novella.cloud.attributes.changes
attributes:
  diff_mode:
    description: Shows the unit or run file.
    support: full
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Keep the controller's worker running
  novella.cloud.service_unit:
    name: worker
    argv: [/opt/novella/bin/novella, worker]
    user: novella
    enabled: true

- name: Start it again with its new code, if it runs
  novella.cloud.service_unit:
    name: worker
    state: restarted
"""

RETURN = r"""
backend:
  description: The back end that was used.
  returned: success
  type: str
  sample: systemd
service:
  description: The service as it is now.
  returned: success
  type: dict
  contains:
    state:
      description: V(up), V(down) or V(absent).
      returned: success
      type: str
    pid:
      description: The number of its process, nothing unless it is up.
      returned: success
      type: int
  sample: {state: up, pid: 4711}
"""

from ..module_utils import service_units, work


def main() -> None:
    work.main(service_units.ARGUMENT_SPEC, service_units.run, service_units.SPEC_RULES)


if __name__ == "__main__":
    main()
