"""How modules talk to libvirt: a connection, errors by code, and its words for states."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import domain_xml, work

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

URI = "qemu:///system"

# virDomainState in words.
STATE_NAMES = {
    0: "no state",
    1: "running",
    2: "running",  # blocked on a resource: of no interest to anybody
    3: "paused",
    4: "shutting down",
    5: "stopped",
    6: "crashed",
    7: "suspended",
}


def _say_nothing(_context: Any, _error: Any) -> None: ...


@contextlib.contextmanager
def connected(uri: str | None = None) -> Iterator[Any]:
    """Yield a virConnect to `uri`, closed afterwards. Raises WorkError when libvirt is away."""
    # Imported here: half of all runs of `apply` need no libvirt, and it is slow to load.
    import libvirt

    # Without a handler the bindings print every error, those that we expect included. The one
    # handler for all: `apply` connects in several threads.
    libvirt.registerErrorHandler(_say_nothing, None)
    with explained(f"connect to libvirt at {uri or URI}; is libvirtd (or virtqemud) running?"):
        connection = libvirt.open(uri or URI)
    try:
        yield connection
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            connection.close()


@contextlib.contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn a libvirtError into a WorkError that says what was tried; its code is a detail."""
    import libvirt

    try:
        yield
    except libvirt.libvirtError as error:
        raise work.WorkError(
            f"Cannot {doing}: {error.get_error_message()} (libvirt code {error.get_error_code()}).",
            libvirt_code=error.get_error_code(),
        ) from error


def lookup(connection: Any, domain_id: str) -> Any | None:
    """Return the virDomain with the uuid `domain_id`, or None."""
    import libvirt

    try:
        return connection.lookupByUUIDString(domain_id)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise work.WorkError(
            f"Cannot look up domain {domain_id}: {error.get_error_message()}.",
            libvirt_code=error.get_error_code(),
        ) from error


def definition(domain: Any, live: bool = False) -> ET.Element:
    """Return the definition of `domain` as of its next start, or (live) as it runs now."""
    import libvirt

    with explained("read the definition of a domain"):
        text = domain.XMLDesc(0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE)
    return domain_xml.parse(text, "the definition that libvirt has")


def state_name(domain: Any) -> str:
    """Return the state of `domain` in one word (STATE_NAMES); "absent" if it went meanwhile."""
    import libvirt

    try:
        return STATE_NAMES.get(domain.state()[0], "no state")
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return "absent"
        raise work.WorkError(
            f"Cannot read the state of domain {domain.name()}: {error.get_error_message()}."
        ) from error
