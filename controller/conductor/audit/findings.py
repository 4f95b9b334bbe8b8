"""Findings: what of the books and the world disagrees, why that matters, and the way out."""

from dataclasses import dataclass
from typing import Any

HARD_REBOOT = (
    "Hard reboot the server (openstack server reboot --hard): it makes all but disks anew."
)
REAPED = "The controller removes it by itself within the hour, disks by way of quarantine."
LOOK = "Look at it on the host. Nothing is removed without a record that it was deleted."

# kind -> (why it matters, the way out)
KINDS: dict[str, tuple[str, str]] = {
    # --- the books alone
    "task_without_operation": (
        "Nobody works on the server, and its owner can do nothing with it.",
        "The controller frees it within a minute. If it stays, no worker runs: start one.",
    ),
    "operation_without_owner": (
        "It is marked as running, but its worker is gone: its work stands still.",
        "A worker takes it over as soon as one runs. Start one (novella worker).",
    ),
    "operation_waits": (
        "It could have been started long ago: work stands still.",
        "Start a worker, or look into its log for why it takes none.",
    ),
    "operation_of_deleted_server": (
        "It would work on a server that its owner was told is gone.",
        "See its error (novella operation list); it ends by itself if its steps can.",
    ),
    "secrets_kept": (
        "Secrets of an operation that has ended are still in the database.",
        "Set `sealed` of the operation to NULL, and report this as a bug.",
    ),
    "server_without_host": (
        "A server that runs, or can be started, is on no host.",
        "Delete it and create it again; or restore the database.",
    ),
    "allocation_missing": (
        "The scheduler counts room as free that the server takes: the host may be overfilled.",
        "The controller claims it anew within five minutes.",
    ),
    "allocation_differs": (
        "The scheduler counts with other numbers than the server takes.",
        "The controller mends it within five minutes.",
    ),
    "allocation_of_nobody": (
        "Room is held for nothing: the host takes fewer servers than it could.",
        "The controller releases it within five minutes.",
    ),
    "inventory_differs": (
        "The scheduler counts with other resources than the host has.",
        "The next heartbeat of the host mends it.",
    ),
    "port_of_no_server": (
        "An address stays taken for a server that is gone.",
        "Delete the port (openstack port delete).",
    ),
    "port_on_other_host": (
        "Rules for the port go to a host that doesn't have it.",
        HARD_REBOOT,
    ),
    "port_without_address": ("The server can't be reached through it.", "Give it an address."),
    "image_file_missing": (
        "Servers can't be made from it, nor a lost base sent again.",
        "Restore the file from a backup, or delete the image.",
    ),
    "image_file_size": (
        "It isn't what was uploaded: hosts refuse it by its checksum.",
        "Restore the file from a backup, or delete the image and upload it again.",
    ),
    "image_file_of_nobody": (
        "It takes space, and nobody knows of it.",
        "Remove the file if no backup of the database knows it.",
    ),
    "artifacts_of_nobody": (
        "They take space, and the database knows no operation of that id.",
        "Remove the folder, if you need it no more.",
    ),
    "too_many_artifacts": (
        "More is kept than `artifacts_kept` says: the disk may fill.",
        "The controller removes the oldest within ten minutes.",
    ),
    # --- hosts
    "host_silent": (
        "What is on it can't be compared.",
        "Bring it back, then run this again. `novella host list` shows its state.",
    ),
    "host_unread": (
        "A part of what is on the host could not be read, and is not compared.",
        "Mend the cause on the host, then run this again.",
    ),
    "database_is_older": (
        "The host has had newer runs than the database knows: it was restored from a backup, or "
        "the host's records are wrong. Nothing is reaped there.",
        "See 'Restoring from a backup' in the operators' guide.",
    ),
    "domain_missing": ("The server isn't there.", HARD_REBOOT),
    "domain_foreign": (
        "Its domain bears no mark of this cloud: plays refuse to touch it.",
        "Find out whose it is. If it is ours, start the server by hand with this cloud's id.",
    ),
    "power_state": (
        "Its owner is told something else than what is.",
        "The controller notes a guest that is off; for the rest see `power_sync`. Or: stop, start "
        "or hard reboot the server.",
    ),
    "autostart": (
        "After a boot libvirt would start it before its rules are there.",
        "virsh autostart --disable it, or enrol the host again.",
    ),
    "disk_missing": (
        "The server can't start again.",
        f"If it was empty or is restorable: {HARD_REBOOT} Else restore it from a backup.",
    ),
    "base_missing": ("What its disk stands on is gone: it can't start again.", HARD_REBOOT),
    "definition_missing": ("The copy of its definition is gone.", HARD_REBOOT),
    "tap_missing": ("The running server has no network.", HARD_REBOOT),
    "tap_astray": ("The running server is on another bridge than its network's.", HARD_REBOOT),
    "rules_base": (
        "The packet filter is not called: nothing filters servers, or all is dropped.",
        "Enrol the host again (novella host enroll, or playbooks/host_enroll.yml).",
    ),
    "rules_missing": ("All traffic of the server is dropped.", HARD_REBOOT),
    "rules_differ": (
        "What may reach the server isn't what its groups say.",
        "Change any rule of its groups and back, or hard reboot it: all are set anew.",
    ),
    "dhcp_missing": ("The server gets no address at its next renewal or boot.", HARD_REBOOT),
    "dhcp_differs": ("The server gets another address than its port has.", HARD_REBOOT),
    "metadata_missing": ("The guest can't read what it is told about itself.", HARD_REBOOT),
    "network_incomplete": (
        "Its servers there lose DHCP, metadata or each other.",
        "Hard reboot one of its servers on the host: that makes the network anew.",
    ),
    "leftover": ("It takes room, and may hold an address.", REAPED),
    "stray": ("Nobody knows why it is there; a server may be running twice.", LOOK),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement. `kind` is a key of KINDS; `what` a sentence.

    `subject` is the id (or name) of what it is about. `server_id` is the server whose changes may
    explain it; `host` the name of its host, `host_id` its id.
    """

    kind: str
    subject: str
    what: str
    server_id: str | None = None
    host: str | None = None
    host_id: str | None = None

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What stays the same in a second look."""
        return self.kind, self.subject, self.host_id

    @property
    def why(self) -> str:
        return KINDS[self.kind][0]

    @property
    def way_out(self) -> str:
        return KINDS[self.kind][1]

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "subject": self.subject,
            "server_id": self.server_id,
            "host": self.host,
            "what": self.what,
            "why": self.why,
            "way_out": self.way_out,
        }
