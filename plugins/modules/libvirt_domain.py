#!/usr/bin/python
"""Keep a server's domain in a state; the work is module_utils/libvirt_domain.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_domain
short_description: Keep a server's libvirt domain defined and in a state
description:
  - Defines, starts, stops and removes the domain of a server. Its uuid is the server's.
  - A definition is compared by what matters, so what libvirt adds to it is no difference. The
    machine type stays what it was when the server was made, and so do MAC addresses that O(xml)
    leaves out.
  - Where O(xml) says C(auto) the host answers. The domain's type is KVM where the CPU's flag and
    C(/dev/kvm) are there, else emulation with a bounded translation cache. The machine type is the
    newest that QEMU has, by its full name. The CPU is C(host-model) under KVM, else C(qemu64). The
    cache mode of disks is C(none) where the filesystem takes O_DIRECT, else C(writeback). SPICE
    graphics are left out where QEMU lacks them.
  - A domain without the mark of O(cloud_id) in its metadata is not touched.
  - libvirt is never told to start a domain when the host boots.
options:
  state:
    description:
      - V(defined) leaves the domain running or not, as it is.
      - V(plugged) does too, and gives one that runs the network cards of O(xml), told apart by
        their taps. A card that the guest does not let go in time is a failure, and stays.
      - V(running) starts, resumes or wakes it and waits until it runs.
      - V(paused) holds a running guest still, its memory where it is.
      - V(saved) puts a running guest's memory into a file of libvirt's and ends its process.
      - V(stopped) presses the power button, again at an interval, and cuts it off in the end.
      - V(restarted) does the same and starts it; it always changes something.
      - V(destroyed) ends the process at once and removes saved memory; the definition stays.
      - V(absent) ends it and removes its definition. Disks are not touched.
    type: str
    choices: [defined, plugged, running, paused, saved, stopped, restarted, destroyed, absent]
    default: running
  start_from:
    description:
      - What O(state=running) starts a domain from that does not run.
      - V(disk) boots it, and removes memory that was saved; a paused one goes on.
      - V(memory) goes on with a paused or saved guest, and fails where there is none.
    type: str
    choices: [disk, memory]
    default: disk
  xml:
    description:
      - The definition (templates/libvirt_domain.xml.j2). Without it a domain that is there is used.
      - A running domain keeps what it was started with; RV(domain.restart_required) tells.
    type: str
  xml_path:
    description:
      - Where a copy of the definition is kept, C(<state_path>/instances/<server_id>/libvirt.xml).
      - The machine type is noted beside it in C(domain.info).
    type: path
  virt_type:
    description: The domain's type. V(auto) takes what the host can do.
    type: str
    choices: [auto, kvm, qemu]
    default: auto
  shutdown_timeout_s:
    description: Seconds that a guest has to shut down before it is cut off. 0 cuts it off at once.
    type: int
    default: 60
  shutdown_interval_s:
    description: Seconds after which the power button is pressed again.
    type: int
    default: 10
  start_timeout_s:
    description: Seconds that a domain has to run after it was started.
    type: int
    default: 30
  unplug_timeout_s:
    description: Seconds that a guest has to let a network card go.
    type: int
    default: 60
  unplug_interval_s:
    description: Seconds after which it is asked again.
    type: int
    default: 10
  restart_to_fit:
    description:
      - With O(state=running), whether a domain that runs with another definition than O(xml) is
        shut down and started with it. Without it a running domain takes that at its next start.
    type: bool
    default: false
  keep_nvram:
    description: Whether the firmware's variables outlive O(state=absent).
    type: bool
    default: true
  override:
    description:
      - Whether to touch a domain that another cloud, or nobody, marked.
      - A cloud that owns the server keeps it. The definition bears that cloud's mark, whatever
        O(cloud_id) is.
    type: bool
    default: false
extends_documentation_fragment:
  - novella.cloud.domain
  - novella.cloud.domain.owner
  - novella.cloud.host
  - novella.cloud.libvirt
attributes:
  check_mode:
    description: Says what would be defined, started or stopped and changes nothing.
    support: full
  diff_mode:
    description: Shows the definition before and after, the state, and what differs in libvirt.
    support: full
requirements: [python3-libvirt]
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Define a server's domain and start it
  novella.cloud.libvirt_domain:
    server_id: "{{ server.id }}"
    xml: "{{ lookup('ansible.builtin.template', 'libvirt_domain.xml.j2') }}"
    xml_path: "/var/lib/novella/instances/{{ server.id }}/libvirt.xml"

- name: Put its memory into a file
  novella.cloud.libvirt_domain:
    server_id: "{{ server.id }}"
    state: saved

- name: Go on from there
  novella.cloud.libvirt_domain:
    server_id: "{{ server.id }}"
    state: running
    start_from: memory

- name: Shut it down, within five minutes
  novella.cloud.libvirt_domain:
    server_id: "{{ server.id }}"
    state: stopped
    shutdown_timeout_s: 300
"""

RETURN = r"""
domain:
  description:
    - The domain as it is now (in check mode, as it would be).
    - C(vnc_port) and C(spice_port) are there while it runs.
  returned: success
  type: dict
  contains:
    differences:
      description: In what the definition that libvirt had was not as it should be.
      returned: success
      type: list
      elements: str
    restart_required:
      description: True while a running domain has not taken over its definition.
      returned: success
      type: bool
    restart_differences:
      description: In what a running domain is not as its definition; a restart puts that right.
      returned: success
      type: list
      elements: str
  sample:
    id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    uuid: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    name: novella-5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    state: running
    virt_type: kvm
    machine: pc-i440fx-7.2
    vnc_port: 5900
    spice_port: 5901
    restart_required: false
    restart_differences: []
    differences: []
"""

from ..module_utils import libvirt_domain, work


def main() -> None:
    work.main(libvirt_domain.ARGUMENT_SPEC, libvirt_domain.run, libvirt_domain.SPEC_RULES)


if __name__ == "__main__":
    main()
