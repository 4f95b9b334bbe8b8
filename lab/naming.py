"""Names and addresses of a lab: all of them follow from its name, its index and host numbers."""

import hashlib
import re
import uuid
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

# Linux takes 15 characters for an interface. The longest of ours are `nv-<lab>-m` on the machine
# and `m-<host>` in the fabric.
LAB_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,9}")
HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}[a-z0-9]|[a-z]")

FIRST_HOST_NUMBER = 11
MAX_INDEX = 255

NETNS_PREFIX = "novella."
ROOT_LEG_PREFIX = "nv-"
MGMT_BRIDGE = "brmgmt"
EXTERNAL_BRIDGE = "brext"


def check_lab_name(name: str) -> str:
    """Return `name`; raise LabError when interface and namespace names cannot be made of it."""
    if not LAB_NAME.fullmatch(name):
        raise LabError(
            f"Cannot name a lab {name!r}: use a letter, then at most nine letters or digits."
        )
    return name


def lab_name_of(purpose: str, folder: Path) -> str:
    """Return a name for the lab that `folder` has for a purpose, of which `purpose` is the letter.

    The same each time, so that a run takes down what a killed one left; another for every other
    folder, so that two checkouts on a machine never meet.
    """
    return check_lab_name(purpose + hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:5])


def check_host_name(name: str) -> str:
    """Return `name`; raise LabError when interface and namespace names cannot be made of it."""
    if not HOST_NAME.fullmatch(name):
        raise LabError(
            f"Cannot name a host {name!r}: use at most 13 lower-case letters, digits and inner "
            "hyphens, a letter first."
        )
    return name


@dataclass(frozen=True)
class LabNames:
    """Everything that a lab is called on the machine. `index` chooses its two /24 networks."""

    lab: str
    index: int

    @property
    def mgmt_prefix(self) -> str:
        """First three numbers of the management network."""
        return f"10.90.{self.index}"

    @property
    def external_prefix(self) -> str:
        """First three numbers of the external network."""
        return f"10.91.{self.index}"

    @property
    def mgmt_gateway(self) -> str:
        """Address of the fabric on the management network."""
        return f"{self.mgmt_prefix}.1"

    @property
    def external_gateway(self) -> str:
        """Address of the fabric on the external network."""
        return f"{self.external_prefix}.1"

    @property
    def mgmt_root_ip(self) -> str:
        """Address of the machine itself (controller's side) on the management network."""
        return f"{self.mgmt_prefix}.254"

    @property
    def external_root_ip(self) -> str:
        """Address of the machine itself (user's side) on the external network."""
        return f"{self.external_prefix}.254"

    @property
    def fabric_netns(self) -> str:
        """Namespace that holds both bridges."""
        return fabric_netns(self.lab)

    @property
    def mgmt_leg(self) -> str:
        """Interface of the machine on the management network."""
        return f"{ROOT_LEG_PREFIX}{self.lab}-m"

    @property
    def external_leg(self) -> str:
        """Interface of the machine on the external network."""
        return f"{ROOT_LEG_PREFIX}{self.lab}-e"

    def host_netns(self, host: str) -> str:
        """Network namespace of a host."""
        return f"{fabric_netns(self.lab)}.{host}"

    def mgmt_ip(self, number: int) -> str:
        """Management address of the host with this number."""
        return f"{self.mgmt_prefix}.{number}"

    def mgmt_mac(self, number: int) -> str:
        """MAC of eth0. Fixed: a recreated host with a new one leaves stale ARP for 14 to 35 s."""
        return f"02:1a:b0:00:{self.index:02x}:{number:02x}"

    def external_mac(self, number: int) -> str:
        """MAC of eth1, fixed for the same reason."""
        return f"02:1a:b1:00:{self.index:02x}:{number:02x}"

    def host_uuid(self, host: str) -> uuid.UUID:
        """Identity of a host (libvirt's host_uuid, machine-id): the same each time it is made."""
        digest = hashlib.sha256(f"novella lab {self.lab} host {host}".encode()).digest()
        return uuid.UUID(bytes=digest[:16], version=4)


def fabric_netns(lab: str) -> str:
    """Return the name of a lab's fabric namespace; its hosts' begin with it and a full stop."""
    return f"{NETNS_PREFIX}{lab}"


def fabric_ports(host: str) -> tuple[str, str]:
    """Return the fabric's ends of a host's eth0 and eth1."""
    return f"m-{host}", f"e-{host}"
