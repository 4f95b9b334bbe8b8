"""A host's key and certificate for one move of a server: the work of `move_credentials`.

The key is made here and never leaves the host. Who signs is on Ansible's side: a host without a
certificate that is good for long enough asks for one (`missing_certificate`), and the step is run
again with it. See docs/adr/0011.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import pwd
import re
import shutil
from typing import Any

from . import work
from .instance_paths import STATE_PATH

ARGUMENT_SPEC: dict[str, Any] = {
    "server_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    # copy: of this server alone; live: the host's, in the folder that libvirt reads.
    "purpose": {"type": "str", "choices": ["copy", "live"], "default": "copy"},
    "host_name": {"type": "str"},
    "address": {"type": "str"},
    "certificate": {"type": "str"},
    "authority": {"type": "str"},
    # For the action plugin, on Ansible's side; the host has no use for it.
    "sign_with": {"type": "path"},
    "state_path": {"type": "path", "default": STATE_PATH},
}
SPEC_RULES: dict[str, Any] = {"required_if": [("state", "present", ["host_name", "address"])]}

LIVE_FOLDER = "/etc/pki/libvirt-migrate"
# What is left of a certificate's time must do for the connection that it is asked for.
GOOD_FOR_S = 300
# QEMU and libvirt look for these names; one certificate serves both ends of a connection.
KEYS = ("server-key.pem", "client-key.pem")
CERTIFICATES = ("server-cert.pem", "client-cert.pem")
AUTHORITY = "ca-cert.pem"
# Who QEMU is, as distributions have it; it reads the credentials of live migrations itself.
QEMU_USERS = ("libvirt-qemu", "qemu")
HOST_NAME_RE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


def run(params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Have a key, and a certificate for it; or (absent) neither. See the module move_credentials.

    Returns `changed`, `diff`, `folder` and `common_name`. Raises WorkError with the detail
    `missing_certificate` {server_id, public_key, common_name, address} when one is to be signed.
    """
    server_id = work.check_uuid(params["server_id"], "server id")
    live = params["purpose"] == "live"
    path = LIVE_FOLDER if live else folder(params["state_path"], server_id)
    if params["state"] == "absent":
        return _remove(path, live, check_mode)
    name = common_name(server_id, params["host_name"], live=live)
    if check_mode:
        return _result(path, name, changed=not os.path.exists(os.path.join(path, CERTIFICATES[0])))
    with work.locked(f"{path.rstrip('/')}.lock", 30):
        made_key = _have_key(path)
        if params.get("certificate") and params.get("authority"):
            changed = _write(path, params["certificate"], params["authority"])
            return _result(path, name, changed=changed or made_key)
        if not _is_good(path, name):
            raise work.WorkError(
                f"Host {params['host_name']} has no certificate for the move of server "
                f"{server_id}. Give `certificate` and `authority`, or `sign_with`.",
                missing_certificate={
                    "server_id": server_id,
                    "public_key": _public_key(path),
                    "common_name": name,
                    "address": params["address"],
                },
            )
    return _result(path, name, changed=made_key)


def folder(state_path: str, server_id: str) -> str:
    """Return where the credentials of a server's cold copy lie."""
    return os.path.join(state_path, "moves", work.check_uuid(server_id, "server id"))


def common_name(server_id: str, host_name: str, *, live: bool = False) -> str:
    """Return the name that a host's certificate for the move bears."""
    if not HOST_NAME_RE.fullmatch(host_name):
        raise work.WorkError(
            f"Refused the host name {host_name!r}: it can't stand in a certificate. It has "
            "letters, digits, dots and dashes."
        )
    # X.509 allows 64 characters: a long host name is cut, its server's id is not.
    return (host_name if live else f"{server_id}.{host_name}")[:64]


def _have_key(path: str) -> bool:
    key = os.path.join(path, KEYS[0])
    if os.path.exists(key) and os.path.exists(os.path.join(path, KEYS[1])):
        return False
    os.makedirs(path, mode=0o755 if path == LIVE_FOLDER else 0o700, exist_ok=True)
    text = work.run_command(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    )
    for name in KEYS:
        work.write_file(os.path.join(path, name), text, 0o600)
        if path == LIVE_FOLDER:
            _give_to_qemu(os.path.join(path, name))
    return True


def _give_to_qemu(path: str) -> None:
    """Have QEMU read the file, where it does not run as root."""
    for name in QEMU_USERS:
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            os.chown(path, found.pw_uid, found.pw_gid)
            return


def _public_key(path: str) -> str:
    return work.run_command(["openssl", "pkey", "-in", os.path.join(path, KEYS[0]), "-pubout"])


def _write(path: str, certificate: str, authority: str) -> bool:
    changed = work.write_file(os.path.join(path, AUTHORITY), authority, 0o644)
    for name in CERTIFICATES:
        changed |= work.write_file(os.path.join(path, name), certificate, 0o644)
    return changed


def _is_good(path: str, name: str) -> bool:
    """Whether the certificate there is for this key and name, and good for a while."""
    certificate = os.path.join(path, CERTIFICATES[0])
    if not os.path.exists(certificate) or not os.path.exists(os.path.join(path, AUTHORITY)):
        return False
    try:
        said = work.run_command(
            ["openssl", "x509", "-in", certificate, "-noout", "-subject", "-enddate", "-pubkey"]
        )
    except work.WorkError:
        return False
    ends = re.search(r"notAfter=(.*)", said)
    if ends is None or f"CN = {name}\n" not in said or _public_key(path) not in said:
        return False
    ending = ends[1].strip().removesuffix("GMT") + "+0000"
    until = datetime.datetime.strptime(ending, "%b %d %H:%M:%S %Y %z")
    left = until - datetime.datetime.now(datetime.UTC)
    return left.total_seconds() > GOOD_FOR_S


def _remove(path: str, live: bool, check_mode: bool) -> dict[str, Any]:
    # libvirt's folder is the host's: a certificate there ends by itself.
    there = os.path.isdir(path) and not live
    if there and not check_mode:
        shutil.rmtree(path)
        work.remove_file(f"{path}.lock")
    before = f"{path}\n" if there else ""
    return {"changed": there, "diff": [work.text_diff(f"credentials {path}", before, "")]}


def _result(path: str, name: str, *, changed: bool) -> dict[str, Any]:
    after = f"{path}: CN={name}\n"
    before = "" if changed else after
    diff = work.text_diff(f"credentials {path}", before, after)
    return {"changed": changed, "diff": [diff], "folder": path, "common_name": name}
