"""Options of modules that keep or read something of Novella's on a host."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  state_path:
    description: Where Novella keeps its files on the host.
    type: path
    default: /var/lib/novella
"""
