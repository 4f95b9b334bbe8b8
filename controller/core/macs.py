"""MAC addresses of ports: unique in a network, which the database holds."""

import re
import secrets
from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.core.network_faults import (
    InvalidInput,
    MacAddressGenerationFailure,
    MacAddressInUse,
)
from controller.db.models import Port

# OpenStack's prefix, locally administered.
PREFIX = "fa:16:3e"
TRIES = 16
_FORM = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}\Z")


def parse(text: str) -> str:
    """Return a MAC address in lower case with colons; refuse one that no port can have."""
    mac = text.lower()
    if not _FORM.match(mac):
        raise InvalidInput(f"'{text}' is not a valid MAC address, such as {PREFIX}:12:34:56.")
    mac = mac.replace("-", ":")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise InvalidInput(f"MAC address {mac} is not that of a single interface. Choose another.")
    return mac


def insert_with_mac(session: Session, ports: Sequence[Port]) -> None:
    """Insert `ports` of one network, with MAC addresses of our own choice where they have none.

    Raises MacAddressInUse when the network has the one that a lone port came with. As many
    statements for many ports as for one.
    """
    chosen = [port.mac_address for port in ports]
    for _ in range(TRIES):
        for port, mac_address in zip(ports, chosen, strict=True):
            port.mac_address = mac_address or _generate()
        try:
            with session.begin_nested():
                session.add_all(ports)
        except IntegrityError as error:
            if all(chosen):
                raise in_use(ports[0].network_id, chosen[0]) from error
        else:
            return
    raise MacAddressGenerationFailure(
        f"Unable to generate unique mac on network {ports[0].network_id}. Try again, or name one."
    )


def in_use(network_id: str, mac_address: str) -> MacAddressInUse:
    return MacAddressInUse(
        f"Unable to complete operation for network {network_id}. The mac address {mac_address} "
        "is in use. Choose another, or leave it out to be given one."
    )


def _generate() -> str:
    return PREFIX + "".join(f":{byte:02x}" for byte in secrets.token_bytes(3))
