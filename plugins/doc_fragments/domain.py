"""Options of modules that touch a server's libvirt domain: which one, and whose it must be."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  server_id:
    description: The server's UUID, which is the domain's too.
    type: str
    required: true
    aliases: [id]
"""

    OWNER = r"""
options:
  cloud_id:
    description: The UUID of the cloud whose mark the domain must bear. All zeros by hand.
    type: str
    default: 00000000-0000-0000-0000-000000000000
  override:
    description: Whether to touch a domain that another cloud, or nobody, marked.
    type: bool
    default: false
"""
