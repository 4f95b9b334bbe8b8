"""Who may do what in the compute API; the names are upstream's."""

from controller.api.common.policy import ADMIN, ANYONE, MEMBER, READER, Rule

OWN_KEYS = "rule:is_admin or user_id:%(user_id)s"

_BY_CHECK: dict[str, tuple[str, ...]] = {
    ANYONE: (
        "flavors:index",
        "flavors:show",
        "limits",
        "os-availability-zone:list",
        "os-quota-sets:defaults",
    ),
    READER: (
        "ips:index",
        "os-attach-interfaces:list",
        "os-attach-interfaces:show",
        "ips:show",
        "os-flavor-extra-specs:index",
        "os-flavor-extra-specs:show",
        "os-instance-actions:list",
        "os-instance-actions:show",
        "os-quota-sets:detail",
        "os-quota-sets:show",
        "os-security-groups:list",
        "server-metadata:index",
        "server-metadata:show",
        "servers:detail",
        "servers:index",
        "servers:show",
        "servers:show:flavor-extra-specs",
    ),
    MEMBER: (
        "os-attach-interfaces:create",
        "os-attach-interfaces:delete",
        "os-console-output",
        "os-deferred-delete:force",
        "os-deferred-delete:restore",
        "os-lock-server:lock",
        "os-lock-server:unlock",
        "os-pause-server:pause",
        "os-pause-server:unpause",
        "os-suspend-server:resume",
        "os-suspend-server:suspend",
        "os-security-groups:add",
        "os-security-groups:remove",
        "server-metadata:create",
        "server-metadata:delete",
        "server-metadata:update",
        "server-metadata:update_all",
        "servers:create",
        "servers:delete",
        "servers:reboot",
        "servers:rebuild",
        "servers:start",
        "servers:stop",
        "servers:update",
    ),
    ADMIN: (
        "limits:other_project",
        "os-admin-actions:reset_state",
        "os-aggregates:index",
        "os-availability-zone:detail",
        "os-extended-server-attributes",
        "os-flavor-extra-specs:create",
        "os-flavor-extra-specs:delete",
        "os-flavor-extra-specs:update",
        "os-flavor-manage:create",
        "os-flavor-manage:delete",
        "os-flavor-manage:update",
        "os-hypervisors:list",
        "os-hypervisors:list-detail",
        "os-hypervisors:search",
        "os-hypervisors:servers",
        "os-hypervisors:show",
        "os-hypervisors:statistics",
        "os-hypervisors:uptime",
        "os-instance-actions:events",
        "os-instance-actions:events:details",
        "os-lock-server:unlock:unlock_override",
        "os-quota-sets:delete",
        "os-quota-sets:update",
        "os-services:list",
        "os-services:update",
        "servers:allow_all_filters",
        "servers:create:forced_host",
        "servers:create:zero_disk_flavor",
        "servers:detail:get_all_tenants",
        "servers:index:get_all_tenants",
        "servers:show:host_status",
    ),
    OWN_KEYS: (
        "os-keypairs:create",
        "os-keypairs:delete",
        "os-keypairs:index",
        "os-keypairs:show",
    ),
}

REQUESTED_DESTINATION = "compute:servers:create:requested_destination"

RULES: list[Rule] = [
    *(
        Rule(f"os_compute_api:{name}", check)
        for check, names in _BY_CHECK.items()
        for name in names
    ),
    Rule(REQUESTED_DESTINATION, ADMIN),
]
