"""Sign a host's certificate for one move of a server. The authority's key stays on this side.

What is signed is decided here: of what a host says, its public key alone is taken.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(minutes=15)
# Hosts' clocks differ from ours.
BACKDATED = datetime.timedelta(minutes=5)
AUTHORITY_LIFETIME = datetime.timedelta(days=3650)
NAME_MAX = 64
AUTHORITY_FILE = "authority.pem"


class AuthorityError(Exception):
    """It can't be signed: what, why, and the way out."""


def take_path(step: dict[str, Any]) -> str | None:
    """Take `sign_with`, which is for this side alone, out of a step's arguments."""
    arguments = step.get("args") or {}
    return arguments.pop("sign_with", None) if isinstance(arguments, dict) else None


def sign(
    folder: str, public_key: Any, server_id: str, host_name: str, address: str, *, live: bool
) -> dict[str, str]:
    """Return {certificate, authority} (PEM) for the host's key; makes the authority if need be.

    Raises AuthorityError for a key that is none.
    """
    try:
        key = serialization.load_pem_public_key(str(public_key).encode())
    except ValueError as error:
        raise AuthorityError(f"Host {host_name} gave no public key to sign: {error}.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise AuthorityError(f"Host {host_name} gave a key of another kind than we ask for.")
    authority_key, authority = _authority(folder)
    name = host_name if live else f"{server_id}.{host_name}"
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name[:NAME_MAX]))
        .issuer_name(authority.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general_name(address)]), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )  # fmt: skip
    return {"certificate": _pem(certificate), "authority": _pem(authority)}


def _authority(folder: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Return the authority's key and certificate, made now if there are none."""
    both = os.path.join(folder, AUTHORITY_FILE)
    if not os.path.exists(both):
        _make_authority(folder, both)
    with open(both, "rb") as file:
        text = file.read()
    key = serialization.load_pem_private_key(text, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise AuthorityError(f"{both} has no key of ours. Remove it, and a new one is made.")
    return key, x509.load_pem_x509_certificate(text)


def _make_authority(folder: str, path: str) -> None:
    os.makedirs(folder, mode=0o700, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    name = _name("Novella moves")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    # One file for both, so that key and certificate are always each other's; of two runs that make
    # it at once the first has it.
    draft = f"{path}.{os.getpid()}"
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(secret + certificate.public_bytes(serialization.Encoding.PEM))
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    os.unlink(draft)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=signs_certificates, crl_sign=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
