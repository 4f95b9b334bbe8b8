"""What the bodies that make a server, make it anew or change it say alike, and from when on."""

from controller.api.compute.schemas.parameters import (
    ACCESS_V4,
    ACCESS_V6,
    ADMIN_PASS,
    DESCRIPTION,
    DISK_CONFIG,
    FQDN,
    HOSTNAME,
    METADATA,
    NAME,
    PERSONALITY,
    TRUSTED_CERTIFICATES,
    Schema,
)

CHANGED: Schema = {
    "name": NAME,
    "OS-DCF:diskConfig": DISK_CONFIG,
    "accessIPv4": ACCESS_V4,
    "accessIPv6": ACCESS_V6,
}
MADE: Schema = {**CHANGED, "adminPass": ADMIN_PASS, "metadata": METADATA}


def changed(rows: frozenset[str]) -> Schema:
    """Return what may be changed where `rows` of the table of microversions hold."""
    found = dict(CHANGED)
    if "server.description" in rows:
        found["description"] = DESCRIPTION
    if "server.hostname_in_request" in rows:
        found["hostname"] = FQDN if "server.hostname_is_fqdn" in rows else HOSTNAME
    return found


def made(rows: frozenset[str]) -> Schema:
    """Return what may be said of a server that is made, or made anew, where `rows` hold."""
    found = MADE | changed(rows)
    if "server.personality" in rows:
        found["personality"] = PERSONALITY
    if "server.trusted_image_certificates" in rows:
        found["trusted_image_certificates"] = TRUSTED_CERTIFICATES
    return found
