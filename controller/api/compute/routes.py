"""The URL table of the compute API: all of the service at one look."""

from typing import Literal

from flask import Blueprint

from controller.api.common.calls import Handler, Route, Services, build_blueprint
from controller.api.common.validation import Schema
from controller.api.compute import (
    aggregates,
    availability_zones,
    disk_snapshots,
    flavors,
    hypervisors,
    image_cache,
    instance_actions,
    interfaces,
    keypairs,
    live_migrations,
    migrations,
    not_built,
    quota_sets,
    server_actions,
    server_create,
    server_diagnostics,
    server_metadata,
    server_password,
    server_tags,
    servers,
    services,
    versions,
)
from controller.api.compute.dialect import ComputeDialect
from controller.api.compute.policies import IMAGE_CACHE, SNAPSHOTS, TOPOLOGY
from controller.api.compute.schemas import flavors as flavor_schemas
from controller.api.compute.schemas import interfaces as interface_schemas
from controller.api.compute.schemas import keypairs as keypair_schemas
from controller.api.compute.schemas import live_migrations as live_migration_schemas
from controller.api.compute.schemas import servers as server_schemas


def _row(
    method: str,
    path: str,
    handler: Handler,
    policy: str,
    schema: Schema | None = None,
    transaction: Literal["own"] | None = None,
    *,
    dry_run: bool = False,
) -> Route:
    rule = f"os_compute_api:{policy}"
    return Route(method, f"/v2.1{path}", handler, rule, schema, transaction, dry_run=dry_run)


_SERVER = "/servers/<server_id>"
_FLAVOR = "/flavors/<flavor_id>"
_SNAPSHOTS = f"/v2.1{_SERVER}/novella-snapshots"
_QUOTAS = "/os-quota-sets/<project_id>"

ROUTES: list[Route] = [
    Route("GET", "/", versions.list_versions, None),
    Route("GET", "/v2.1", versions.show_version, None),

    _row("GET", "/servers", servers.list_servers, "servers:index"),
    _row("GET", "/servers/detail", servers.list_servers_in_detail, "servers:detail"),
    _row("POST", "/servers", server_create.create_server, "servers:create",
         server_schemas.create, dry_run=True),
    _row("GET", _SERVER, servers.show_server, "servers:show"),
    _row("PUT", _SERVER, servers.update_server, "servers:update", server_schemas.update),
    _row("DELETE", _SERVER, servers.delete_server, "servers:delete", dry_run=True),
    # Each action has a policy of its own; whoever may show the server may ask.
    _row("POST", f"{_SERVER}/action", server_actions.act_on_server, "servers:show",
         transaction="own", dry_run=True),
    _row("GET", f"{_SERVER}/ips", servers.list_addresses, "ips:index"),
    _row("GET", f"{_SERVER}/ips/<network>", servers.show_addresses, "ips:show"),
    _row("GET", f"{_SERVER}/os-security-groups", servers.list_security_groups,
         "os-security-groups:list"),

    _row("GET", f"{_SERVER}/os-interface", interfaces.list_interfaces,
         "os-attach-interfaces:list"),
    _row("POST", f"{_SERVER}/os-interface", interfaces.attach_interface,
         "os-attach-interfaces:create", interface_schemas.attach),
    _row("GET", f"{_SERVER}/os-interface/<port_id>", interfaces.show_interface,
         "os-attach-interfaces:show"),
    _row("DELETE", f"{_SERVER}/os-interface/<port_id>", interfaces.detach_interface,
         "os-attach-interfaces:delete"),

    _row("GET", f"{_SERVER}/metadata", server_metadata.list_metadata, "server-metadata:index"),
    _row("POST", f"{_SERVER}/metadata", server_metadata.add_items, "server-metadata:create",
         server_schemas.UPDATE_METADATA),
    _row("PUT", f"{_SERVER}/metadata", server_metadata.replace_all, "server-metadata:update_all",
         server_schemas.UPDATE_METADATA),
    _row("GET", f"{_SERVER}/metadata/<key>", server_metadata.show_item, "server-metadata:show"),
    _row("PUT", f"{_SERVER}/metadata/<key>", server_metadata.put_item, "server-metadata:update",
         server_schemas.UPDATE_METADATA_ITEM),
    _row("DELETE", f"{_SERVER}/metadata/<key>", server_metadata.delete_item,
         "server-metadata:delete"),

    _row("GET", f"{_SERVER}/diagnostics", server_diagnostics.show_diagnostics,
         "os-server-diagnostics", transaction="own"),
    Route("GET", f"/v2.1{_SERVER}/topology", server_diagnostics.show_topology, TOPOLOGY),

    _row("GET", f"{_SERVER}/os-server-password", server_password.show_password,
         "os-server-password:show"),
    _row("DELETE", f"{_SERVER}/os-server-password", server_password.clear_password,
         "os-server-password:clear"),

    _row("GET", f"{_SERVER}/tags", server_tags.list_tags, "os-server-tags:index"),
    _row("PUT", f"{_SERVER}/tags", server_tags.replace_tags, "os-server-tags:update_all",
         server_schemas.UPDATE_TAGS),
    _row("DELETE", f"{_SERVER}/tags", server_tags.remove_tags, "os-server-tags:delete_all"),
    _row("GET", f"{_SERVER}/tags/<tag>", server_tags.show_tag, "os-server-tags:show"),
    _row("PUT", f"{_SERVER}/tags/<tag>", server_tags.add_tag, "os-server-tags:update"),
    _row("DELETE", f"{_SERVER}/tags/<tag>", server_tags.remove_tag, "os-server-tags:delete"),

    _row("GET", f"{_SERVER}/os-instance-actions", instance_actions.list_actions,
         "os-instance-actions:list"),
    _row("GET", f"{_SERVER}/os-instance-actions/<request_id>", instance_actions.show_action,
         "os-instance-actions:show"),

    _row("GET", f"{_SERVER}/migrations", migrations.list_of_server, "servers:migrations:index"),
    _row("GET", f"{_SERVER}/migrations/<migration_id>", migrations.show_of_server,
         "servers:migrations:show"),
    _row("DELETE", f"{_SERVER}/migrations/<migration_id>", live_migrations.abort,
         "servers:migrations:delete", transaction="own"),
    _row("POST", f"{_SERVER}/migrations/<migration_id>/action", live_migrations.force_complete,
         "servers:migrations:force_complete", live_migration_schemas.FORCE_COMPLETE,
         "own"),
    _row("GET", "/os-migrations", migrations.list_migrations, "os-migrations:index"),

    _row("GET", "/flavors", flavors.list_flavors, "flavors:index"),
    _row("GET", "/flavors/detail", flavors.list_flavors_in_detail, "flavors:index"),
    _row("POST", "/flavors", flavors.create_flavor, "os-flavor-manage:create",
         flavor_schemas.create),
    _row("GET", _FLAVOR, flavors.show_flavor, "flavors:show"),
    _row("PUT", _FLAVOR, flavors.update_flavor, "os-flavor-manage:update", flavor_schemas.UPDATE),
    _row("DELETE", _FLAVOR, flavors.delete_flavor, "os-flavor-manage:delete"),
    _row("GET", f"{_FLAVOR}/os-extra_specs", flavors.list_extra_specs,
         "os-flavor-extra-specs:index"),
    _row("POST", f"{_FLAVOR}/os-extra_specs", flavors.create_extra_specs,
         "os-flavor-extra-specs:create", flavor_schemas.EXTRA_SPECS),
    _row("GET", f"{_FLAVOR}/os-extra_specs/<key>", flavors.show_extra_spec,
         "os-flavor-extra-specs:show"),
    _row("PUT", f"{_FLAVOR}/os-extra_specs/<key>", flavors.update_extra_spec,
         "os-flavor-extra-specs:update", flavor_schemas.EXTRA_SPEC),
    _row("DELETE", f"{_FLAVOR}/os-extra_specs/<key>", flavors.delete_extra_spec,
         "os-flavor-extra-specs:delete"),

    _row("GET", "/os-keypairs", keypairs.list_keypairs, "os-keypairs:index"),
    _row("POST", "/os-keypairs", keypairs.create_keypair, "os-keypairs:create",
         keypair_schemas.create),
    _row("GET", "/os-keypairs/<name>", keypairs.show_keypair, "os-keypairs:show"),
    _row("DELETE", "/os-keypairs/<name>", keypairs.delete_keypair, "os-keypairs:delete"),

    _row("GET", "/limits", quota_sets.show_limits, "limits"),
    _row("GET", _QUOTAS, quota_sets.show_quotas, "os-quota-sets:show"),
    _row("PUT", _QUOTAS, quota_sets.update_quotas, "os-quota-sets:update",
         quota_sets.update_schema),
    _row("DELETE", _QUOTAS, quota_sets.delete_quotas, "os-quota-sets:delete"),
    _row("GET", f"{_QUOTAS}/defaults", quota_sets.show_defaults, "os-quota-sets:defaults"),
    _row("GET", f"{_QUOTAS}/detail", quota_sets.show_quotas_in_detail, "os-quota-sets:detail"),

    _row("GET", "/os-availability-zone", availability_zones.list_zones,
         "os-availability-zone:list"),
    _row("GET", "/os-availability-zone/detail", availability_zones.list_zones_in_detail,
         "os-availability-zone:detail"),
    _row("GET", "/os-aggregates", aggregates.list_aggregates, "os-aggregates:index"),
    _row("GET", "/os-hypervisors", hypervisors.list_hypervisors, "os-hypervisors:list"),
    _row("GET", "/os-hypervisors/detail", hypervisors.list_hypervisors_in_detail,
         "os-hypervisors:list-detail"),
    _row("GET", "/os-hypervisors/statistics", hypervisors.show_statistics,
         "os-hypervisors:statistics"),
    _row("GET", "/os-hypervisors/<hypervisor_id>", hypervisors.show_hypervisor,
         "os-hypervisors:show"),
    _row("GET", "/os-hypervisors/<hypervisor_id>/uptime", hypervisors.show_uptime,
         "os-hypervisors:uptime"),
    _row("GET", "/os-hypervisors/<pattern>/search", hypervisors.search_hypervisors,
         "os-hypervisors:search"),
    _row("GET", "/os-hypervisors/<pattern>/servers", hypervisors.search_servers_of_hypervisors,
         "os-hypervisors:servers"),
    _row("GET", "/os-services", services.list_services, "os-services:list"),
    _row("PUT", "/os-services/<service_id>", services.update_service, "os-services:update",
         services.UPDATE),
    Route("GET", _SNAPSHOTS, disk_snapshots.list_snapshots, f"{SNAPSHOTS}:index"),
    Route("POST", _SNAPSHOTS, disk_snapshots.create_snapshot, f"{SNAPSHOTS}:create",
          disk_snapshots.CREATE_BODY),
    Route("GET", f"{_SNAPSHOTS}/<snapshot_id>", disk_snapshots.show_snapshot,
          f"{SNAPSHOTS}:show"),
    Route("DELETE", f"{_SNAPSHOTS}/<snapshot_id>", disk_snapshots.delete_snapshot,
          f"{SNAPSHOTS}:delete"),
    Route("POST", "/v2.1/novella-image-cache", image_cache.prefetch_image, IMAGE_CACHE,
          image_cache.PREFETCH),
]  # fmt: skip


def blueprint(services: Services, prefix: str) -> Blueprint:
    return build_blueprint(ComputeDialect(), [*ROUTES, *not_built.routes()], services, prefix)
