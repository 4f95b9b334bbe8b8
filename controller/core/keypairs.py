"""Key pairs: public keys that servers let in. They belong to a user, not to a project."""

import base64
import binascii
import hashlib
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.db.models import Keypair
from controller.errors import BadRequest, Conflict, NotBuilt, NotFound, QuotaExceeded


def get(session: Session, user_id: str, name: str) -> Keypair:
    keypair = session.scalar(
        select(Keypair).where(Keypair.user_id == user_id, Keypair.name == name)
    )
    if keypair is None:
        raise NotFound(f"Keypair {name} not found for user {user_id}. List key pairs to see yours.")
    return keypair


def list_keypairs(
    session: Session, user_id: str, *, limit: int = 1000, marker: str | None = None
) -> list[Keypair]:
    """Return a page of the user's key pairs by name; `marker` is the name that it comes after."""
    query = select(Keypair).where(Keypair.user_id == user_id)
    if marker is not None:
        if session.scalar(query.where(Keypair.name == marker)) is None:
            raise BadRequest(f"marker [{marker}] not found: no key pair of yours has this name.")
        query = query.where(Keypair.name > marker)
    return list(session.scalars(query.order_by(Keypair.name).limit(limit)))


def import_key(
    session: Session, user_id: str, name: str, public_key: str, kind: str, limit: int
) -> Keypair:
    """Keep the public key. `limit` is how many a user may have, -1 for no end."""
    public_key = public_key.strip()
    fingerprint = x509_fingerprint(public_key) if kind == "x509" else ssh_fingerprint(public_key)
    return _add(session, user_id, name, kind, public_key, fingerprint, limit)


def generate(
    session: Session, user_id: str, name: str, kind: str, limit: int
) -> tuple[Keypair, str]:
    """Return a new key pair and its private key, which is kept nowhere."""
    if kind != "ssh":
        raise NotBuilt(
            f"Cannot generate key pair {name}: keys of type {kind} are imported only. Make a "
            "certificate yourself and send it as public_key."
        )
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    ).decode()
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    text = f"{public.decode()} Generated-by-Novella"
    return _add(session, user_id, name, kind, text, ssh_fingerprint(text), limit), private


def delete(session: Session, user_id: str, name: str) -> None:
    """Delete the key pair; servers that were made with it keep the public key."""
    session.delete(get(session, user_id, name))


def ssh_fingerprint(public_key: str) -> str:
    """Return the MD5 fingerprint, as upstream shows it, of a line as in authorized_keys.

    Raises BadRequest unless it is one line whose body names the same type as its first word.
    """
    words = public_key.split(None, 2)
    if len(words) < 2 or any(mark in public_key for mark in "\r\n\x00"):
        raise _invalid("an SSH public key is one line: type, base64 text, and maybe a comment")
    try:
        blob = base64.b64decode(words[1], validate=True)
        (length,) = struct.unpack_from(">I", blob)
        kind = blob[4 : 4 + length].decode("ascii")
    except (binascii.Error, struct.error, UnicodeDecodeError, ValueError) as error:
        raise _invalid("its second word isn't an encoded key") from error
    if kind != words[0] or len(blob) <= 4 + length:
        raise _invalid(f"it says {words[0][:64]!r} but its body is of another type")
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, 32, 2))


def x509_fingerprint(certificate: str) -> str:
    """Return the SHA-1 fingerprint of a certificate in PEM."""
    try:
        loaded = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError as error:
        raise _invalid("it isn't a certificate in PEM") from error
    digest = loaded.fingerprint(hashes.SHA1()).hex()  # noqa: S303 -- what upstream shows
    return ":".join(digest[i : i + 2] for i in range(0, 40, 2))


def _invalid(reason: str) -> BadRequest:
    return BadRequest(
        f"Keypair data is invalid: failed to generate fingerprint: {reason}. Send the content of "
        "a file such as id_ed25519.pub."
    )


def _add(
    session: Session,
    user_id: str,
    name: str,
    kind: str,
    public_key: str,
    fingerprint: str,
    limit: int,
) -> Keypair:
    count = session.scalar(
        select(func.count()).select_from(Keypair).where(Keypair.user_id == user_id)
    )
    if 0 <= limit <= (count or 0):
        raise QuotaExceeded(
            f"Quota exceeded, too many key pairs: {count} of {limit} are there. Delete one first."
        )
    keypair = Keypair(
        user_id=user_id, name=name, type=kind, public_key=public_key, fingerprint=fingerprint
    )
    try:
        with session.begin_nested():
            session.add(keypair)
    except IntegrityError as error:
        raise Conflict(
            f"Key pair '{name}' already exists. Choose another name, or delete that one first."
        ) from error
    return keypair
