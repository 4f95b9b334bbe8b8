"""Options of modules that are about one server."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  server_id:
    description: The server's UUID.
    type: str
    required: true
"""
