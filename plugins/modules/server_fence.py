#!/usr/bin/python
# Copyright: The Novella authors
# SPDX-License-Identifier: Apache-2.0
"""Claim a server for this run."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: server_fence
short_description: Claim a server on a host for this run
version_added: "0.1.0"
description:
  - Records the run's generation and cloud in the server's fence on the host, then waits until no
    other run is at work on the server.
  - Refuses a generation lower than the recorded one, and a server that another cloud owns.
  - M(novella.cloud.apply) does this by itself and holds the lock too. This module is for steps that
    run as tasks of their own.
options:
  owner:
    description: Id of the cloud that runs this; all zeros for a run by hand.
    type: str
    default: 00000000-0000-0000-0000-000000000000
  generation:
    description: The operation's generation; absent by hand.
    type: int
  override:
    description: Touch the server although another cloud owns it.
    type: bool
    default: false
  lock_timeout_s:
    description: How many seconds to wait for a run that is at work on the server.
    type: int
    default: 180
extends_documentation_fragment:
  - novella.cloud.server
  - novella.cloud.host
attributes:
  check_mode:
    description: Refuses what it would refuse, and records nothing.
    support: full
  diff_mode:
    description: Shows the record before and after.
    support: full
author:
  - The Novella authors (@novella)
"""

EXAMPLES = r"""
- name: Claim the server
  novella.cloud.server_fence:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    generation: 3
    owner: 3f0c8b1e-6f0a-4b7e-8a8e-1f7a2f1d9c55
"""

RETURN = r"""
generation:
  description: The generation that now stands; none when only runs by hand touched the server.
  returned: success
  type: int
  sample: 3
owner:
  description: The cloud that owns the server on this host.
  returned: success
  type: str
  sample: 3f0c8b1e-6f0a-4b7e-8a8e-1f7a2f1d9c55
"""

from ..module_utils import fence, work


def main() -> None:
    work.main(fence.ARGUMENT_SPEC, fence.run)


if __name__ == "__main__":
    main()
