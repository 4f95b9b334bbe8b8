#!/usr/bin/python
"""Keep credentials for a move: module_utils/move_credentials.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: move_credentials
short_description: Keep a host's key and certificate for a move of a server
description:
  - Makes the key on the host, where it stays, and keeps the certificate that is given for it.
  - Without a certificate that is good for five minutes more the module fails and returns
    C(missing_certificate), the public key with the name to certify. The action plugin of the same
    name, and M(novella.cloud.apply), then sign it with O(sign_with) and run the module again.
options:
  state:
    description: Whether the credentials are there.
    type: str
    choices: [present, absent]
    default: present
  purpose:
    description:
      - V(copy) is for the disks of this one server, in C(<state_path>/moves/<server_id>).
      - V(live) is for migrations by libvirt, in C(/etc/pki/libvirt-migrate); it is never removed.
    type: str
    choices: [copy, live]
    default: copy
  host_name:
    description: The host's name in the certificate. Required when present.
    type: str
  address:
    description: The address that the other host reaches this one at. Required when present.
    type: str
  certificate:
    description: The signed certificate (PEM).
    type: str
  authority:
    description: The certificate of who signed it (PEM).
    type: str
  sign_with:
    description: Folder on Ansible's side with the authority, made when it is missing.
    type: path
extends_documentation_fragment:
  - novella.cloud.server
  - novella.cloud.host
  - novella.cloud.attributes.changes
  - novella.cloud.attributes.shows
author: [Novella (@novella)]
"""

EXAMPLES = r"""
- name: Have a certificate for the copy of a server's disks
  novella.cloud.move_credentials:
    server_id: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
    host_name: compute1
    address: 192.0.2.11
    sign_with: /etc/novella/moves
"""

RETURN = r"""
folder:
  description: Where key and certificate lie.
  returned: when present
  type: str
  sample: /var/lib/novella/moves/5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10
common_name:
  description: The name in the certificate.
  returned: when present
  type: str
  sample: 5f2cbb63-4f7e-4d5e-9b5c-0f4d4b5d6a10.compute1
missing_certificate:
  description: What is to be signed; C(server_id), C(public_key), C(common_name) and C(address).
  returned: when there is no certificate that is good for long enough
  type: dict
"""

from ..module_utils import move_credentials, work


def main() -> None:
    work.main(move_credentials.ARGUMENT_SPEC, move_credentials.run, move_credentials.SPEC_RULES)


if __name__ == "__main__":
    main()
