#!/usr/bin/python
# Copyright: The Novella authors
# SPDX-License-Identifier: Apache-2.0
"""Run the steps of several servers in one remote execution."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: apply
short_description: Run the steps of several servers in one remote execution
version_added: "0.1.0"
description:
  - Reads a steps file, which is an ordinary task file written in terms of one item, and runs its
    steps for each item of a list in a single process on the host.
  - Each step names one of this collection's modules and is checked by that module's own argument
    spec, in check mode too. An item that fails stops; the others go on.
  - For each item it takes the lock of the server on the host and honours its fence. A run that a
    newer one has succeeded stops before its next step.
  - Each item's result is kept in the journal on the host as well. What an earlier run of the same
    operation has done, with nobody after it, is not done again.
  - A run whose connection is lost stops before its next step, and goes on over a new connection
    where items say whose operation they are.
  - Without the action plugin (C(ansible HOST -m novella.cloud.apply) always has it) the module
    would want the steps spelled out; O(steps) is what people write.
options:
  steps:
    description:
      - The steps file, looked up in the role's C(tasks/) folder.
      - A task in it has C(name), one module of this collection that C(apply) runs, and optionally
        C(when), C(loop) (with C(loop_control.loop_var)), C(vars) and C(no_log); or it is an
        C(ansible.builtin.include_tasks) or C(ansible.builtin.import_tasks) of another steps file.
    type: str
    required: true
  items:
    description:
      - What to run the steps for. Each needs C(id), a UUID. C(generation) is the operation's,
        absent by hand; C(operation_id) names the journal's entry, by default C(id) does.
      - A M(novella.cloud.qcow2_disk) step with C(base.stream_from) names a file on Ansible's side,
        which is sent when the host has no base of the image. It is sent once for all items.
    type: list
    elements: dict
    required: true
  item_var:
    description: The variable that the steps see the item as.
    type: str
    default: server
  secrets:
    description:
      - Secret values by item id and name. The steps see those of their item as the variable
        C(secret); there each is a reference only, which is resolved on the host.
    type: dict
    default: {}
  fence:
    description: Who runs this.
    type: dict
    default: {}
    suboptions:
      owner:
        description: Id of the cloud that runs this; all zeros for a run by hand.
        type: str
        default: 00000000-0000-0000-0000-000000000000
      override:
        description: Touch a server that another cloud owns on this host.
        type: bool
        default: false
      lock_timeout_s:
        description: How many seconds to wait for a run that is at work on the server.
        type: int
        default: 180
      host_id:
        description: UUID of the host, for a run about all of it.
        type: str
      host_generation:
        description: The run's number among those; a lower one than seen before is refused.
        type: int
  undo_on_failure:
    description: When a step fails, take back what this run made for the item, the last first.
    type: bool
    default: false
  parallel:
    description:
      - How many items are worked on side by side. More than one is for steps that mostly wait, such
        as for guests to shut down; each item's own steps keep their order.
    type: int
    default: 1
extends_documentation_fragment:
  - novella.cloud.host
attributes:
  check_mode:
    description: Changes nothing on the host, and reports what would change.
    support: full
  diff_mode:
    description: Shows the diff of each step.
    support: full
author:
  - The Novella authors (@novella)
"""

EXAMPLES = r"""
- name: Make the servers, one remote execution for all
  novella.cloud.apply:
    steps: steps/server_create.yml
    items: "{{ servers }}"
    secrets: "{{ server_secrets }}"
    fence:
      owner: "{{ cloud_id }}"
    undo_on_failure: true
"""

RETURN = r"""
results:
  description: One entry for each item, in the order of O(items), also when some failed.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: The item's id.
      type: str
    format_version:
      description: The number of this form of a result, for readers of other releases.
      type: int
    changed:
      description: Whether a step changed something.
      type: bool
    failed:
      description: Whether the item was refused or a step failed.
      type: bool
    fenced:
      description: Whether it was refused because another run or cloud has the server.
      type: bool
    msg:
      description: What failed and why; empty otherwise.
      type: str
    steps:
      description:
        - The steps in order, up to the one that failed. Each has C(name), C(module), C(changed),
          C(failed), C(skipped), C(msg), C(started_at), C(finished_at), C(diff) and C(result).
      type: list
      elements: dict
    host_fenced:
      description: Whether the whole run was refused because a newer one about the host was there.
      type: bool
    done_before:
      description: Whether this is what an earlier run of the item's operation came to.
      type: bool
    undone:
      description: What was taken back after a failure, with O(undo_on_failure).
      type: list
      elements: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import apply


def main() -> None:
    # no_log here is about the log of the host: a batch's arguments do not belong there.
    module = AnsibleModule(apply.ARGUMENT_SPEC, supports_check_mode=True, no_log=True)
    # `steps` has blanked each item's secrets out of that item's result. Doing it again for all
    # secrets over all results would let one tenant's user data ("1234") mangle the others' ids.
    module.no_log_values = set()
    # Then the arguments must not be echoed either: -vvv prints what a host sends as it comes.
    module.exit_json(**apply.run(module.params, module.check_mode), invocation={})


if __name__ == "__main__":
    main()
