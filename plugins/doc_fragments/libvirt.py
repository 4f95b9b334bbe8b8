"""Options of modules that talk to a host's libvirt."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  uri:
    description: The libvirt to talk to.
    type: str
    default: qemu:///system
"""
