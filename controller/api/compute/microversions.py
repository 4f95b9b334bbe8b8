"""The one table of what each microversion adds, changes and takes away in what is built here.

Views, schemas and routes ask it by name (`has`, `demand`) and compare no versions themselves.
Follows the REST API version history of OpenStack Nova.
"""

from dataclasses import dataclass

from controller.errors import NotFound

Version = tuple[int, int]

FIRST: Version = (2, 1)
LAST: Version = (2, 96)


@dataclass(frozen=True, slots=True)
class Span:
    """From which microversion to which (both included) something is there."""

    since: Version = FIRST
    until: Version = LAST


TABLE: dict[str, Span] = {
    # Key pairs
    "keypair.type": Span((2, 2)),  # and 201 instead of 200, 204 instead of 202
    "keypair.user_id_in_request": Span((2, 10)),
    "keypair.paging": Span((2, 35)),
    "keypair.generated": Span(until=(2, 91)),
    "keypair.name_with_at_and_dot": Span((2, 92)),
    # Flavors
    "flavor.description": Span((2, 55)),
    "flavor.update": Span((2, 55)),
    "flavor.extra_specs": Span((2, 61)),
    "flavor.swap_is_a_number": Span((2, 75)),
    # What is shown of servers
    "server.extended_attributes": Span((2, 3)),
    "server.locked": Span((2, 9)),
    "server.host_status": Span((2, 16)),
    "server.description": Span((2, 19)),
    "server.tags": Span((2, 26)),
    "server.embedded_flavor": Span((2, 47)),
    "server.trusted_image_certificates": Span((2, 63)),
    "server.server_groups": Span((2, 71)),  # not in the list in detail
    "server.locked_reason": Span((2, 73)),
    "server.update_shows_all": Span((2, 75)),
    "server.hostname_for_all": Span((2, 90)),
    "server.pinned_availability_zone": Span((2, 96)),
    # What a create or update of servers takes
    "server.personality": Span(until=(2, 56)),
    "server.network_tag_first": Span((2, 32), (2, 36)),
    "server.network_tag": Span((2, 42)),
    "server.block_device_tag_first": Span((2, 32), (2, 32)),
    "server.block_device_tag": Span((2, 42)),
    "server.networks_required": Span((2, 37)),  # and 'auto', 'none', and only UUIDs
    "server.diagnostics_standard": Span((2, 48)),
    "server.tags_in_create": Span((2, 52)),
    "server.volume_type": Span((2, 67)),
    "server.requested_host": Span((2, 74)),
    "server.hostname_in_request": Span((2, 90)),
    "server.hostname_is_fqdn": Span((2, 94)),
    # What a rebuild takes beside that, and answers with
    "rebuild.key_name": Span((2, 54)),
    "rebuild.user_data": Span((2, 57)),
    # Where an unshelve may ask to go
    "unshelve.zone": Span((2, 77)),
    "unshelve.host": Span((2, 91)),
    # What createImage and createBackup answer with, and whose quota of metadata they mind
    "server_image.id_in_body": Span((2, 45)),
    "server_image.metadata_quota": Span(until=(2, 38)),
    # Filters and order of the list of servers
    "server.filter_ip6": Span((2, 5)),
    "server.filter_tags": Span((2, 26)),
    "server.bad_status_refused": Span((2, 38)),
    "server.filter_changes_before": Span((2, 66)),
    "server.filter_locked": Span((2, 73)),
    "server.unknown_filter_refused": Span((2, 75)),
    "server.filter_more_for_tenants": Span((2, 83)),
    "server.filter_hostname": Span((2, 90)),
    # Actions on servers
    "action.legacy_consoles": Span(until=(2, 5)),
    "action.trigger_crash_dump": Span((2, 17)),
    "action.legacy_addresses": Span(until=(2, 43)),
    "action.migrate_host": Span((2, 56)),
    "evacuate.on_shared_storage": Span(until=(2, 13)),  # and the password in the answer
    "evacuate.force": Span((2, 29), (2, 67)),
    "evacuate.stopped": Span((2, 95)),
    # What os-migrateLive takes: `auto` and no disk_over_commit; a host that the scheduler checks;
    # and, for a while, `force`, which passes it over
    "action.live_migrate_auto": Span((2, 25)),
    "action.live_migrate_checked": Span((2, 30)),
    "action.live_migrate_force": Span((2, 30), (2, 67)),
    # Interfaces
    "interface.tag_in_request": Span((2, 49)),
    "interface.tag": Span((2, 70)),
    # Migrations
    "migration.type_and_links": Span((2, 23)),
    "migration.uuid": Span((2, 59)),  # and paging, and changes-since
    "migration.changes_before": Span((2, 66)),
    "migration.owner": Span((2, 80)),
    # Instance actions
    "instance_action.of_deleted_servers": Span((2, 21)),
    "instance_action.events_for_all": Span((2, 51)),
    "instance_action.updated_at": Span((2, 58)),  # and paging, and changes-since
    "instance_action.host": Span((2, 62)),
    "instance_action.changes_before": Span((2, 66)),
    "instance_action.details": Span((2, 84)),
    # Hypervisors
    "hypervisor.cpu_info_is_an_object": Span((2, 28)),
    "hypervisor.paging": Span((2, 33)),
    "hypervisor.uuid": Span((2, 53)),
    "hypervisor.old_routes": Span(until=(2, 52)),  # search and servers
    "hypervisor.servers_always": Span((2, 75)),
    "hypervisor.resources": Span(until=(2, 87)),  # and the routes statistics and uptime
    "hypervisor.uptime": Span((2, 88)),
    # Services
    "service.forced_down": Span((2, 11)),
    "service.uuid": Span((2, 53)),
    "service.old_updates": Span(until=(2, 52)),
    # Limits and quotas
    "limits.network": Span(until=(2, 35)),
    "limits.image_meta": Span(until=(2, 38)),
    "limits.injected_files": Span(until=(2, 56)),
    # Sub-resources and proxies of other services
    "route.remote_consoles": Span((2, 6)),
    "route.server_migrations": Span((2, 22)),
    "route.server_migrations_read": Span((2, 23)),
    "route.server_migration_abort": Span((2, 24)),
    "migration.abort_before_running": Span((2, 65)),
    "route.server_tags": Span((2, 26)),
    "route.proxies": Span(until=(2, 35)),
    "route.image_metadata": Span(until=(2, 38)),
    "route.hosts": Span(until=(2, 42)),
    "route.server_topology": Span((2, 78)),
    "route.aggregate_images": Span((2, 81)),
}


def has(version: Version, name: str) -> bool:
    """Whether what the row `name` describes is there in `version`."""
    span = TABLE[name]
    return span.since <= version <= span.until


def demand(version: Version, name: str) -> None:
    """Refuse with NotFound, as upstream does, what the microversion does not have."""
    if not has(version, name):
        span = TABLE[name]
        raise NotFound(
            f"API version {text(version)} is not supported on this method. It is there from "
            f"{text(span.since)} to {text(span.until)}."
        )


def text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
