"""Paths of the compute API that answer 501 (not built yet), 404 (too new or old) or 410 (gone)."""

from controller.api.common.calls import Call, Reply, Route
from controller.api.compute.microversions import demand
from controller.errors import Gone, NotBuilt

_SERVER = "/v2.1/servers/<server_id>"

# (methods, path, row of the table of microversions if the path is not in all)
NOT_BUILT: tuple[tuple[str, str, str | None], ...] = (
    ("GET", "/v2.1/extensions", None),
    ("GET", "/v2.1/extensions/<alias>", None),
    ("GET POST", f"{_SERVER}/os-volume_attachments", None),
    ("GET PUT DELETE", f"{_SERVER}/os-volume_attachments/<volume_id>", None),
    ("POST", f"{_SERVER}/remote-consoles", "route.remote_consoles"),
    ("POST", "/v2.1/flavors/<flavor_id>/action", None),
    ("GET", "/v2.1/flavors/<flavor_id>/os-flavor-access", None),
    ("GET POST", "/v2.1/os-server-groups", None),
    ("GET DELETE", "/v2.1/os-server-groups/<group_id>", None),
    ("POST", "/v2.1/os-aggregates", None),
    ("GET PUT DELETE", "/v2.1/os-aggregates/<aggregate_id>", None),
    ("POST", "/v2.1/os-aggregates/<aggregate_id>/action", None),
    ("POST", "/v2.1/os-aggregates/<aggregate_id>/images", "route.aggregate_images"),
    ("DELETE", "/v2.1/os-services/<service_id>", None),
    *(
        ("PUT", f"/v2.1/os-services/{action}", "service.old_updates")
        for action in ("enable", "disable", "disable-log-reason", "force-down")
    ),
    ("GET PUT", "/v2.1/os-quota-class-sets/<quota_class>", None),
    ("GET", "/v2.1/os-simple-tenant-usage", None),
    ("GET", "/v2.1/os-simple-tenant-usage/<project_id>", None),
    ("GET", "/v2.1/os-console-auth-tokens/<token>", None),
    ("GET", "/v2.1/os-instance_usage_audit_log", None),
    ("GET", "/v2.1/os-instance_usage_audit_log/<time>", None),
    ("POST", "/v2.1/os-server-external-events", None),
    ("POST", "/v2.1/os-assisted-volume-snapshots", None),
    ("DELETE", "/v2.1/os-assisted-volume-snapshots/<snapshot_id>", None),
    # Proxies of other services, which later versions no longer have.
    ("GET", "/v2.1/images", "route.proxies"),
    ("GET", "/v2.1/images/detail", "route.proxies"),
    ("GET DELETE", "/v2.1/images/<image_id>", "route.proxies"),
    ("GET POST PUT", "/v2.1/images/<image_id>/metadata", "route.image_metadata"),
    ("GET PUT DELETE", "/v2.1/images/<image_id>/metadata/<key>", "route.image_metadata"),
    *(
        row
        for noun, methods in (
            ("os-volumes", "GET POST"),
            ("os-snapshots", "GET POST"),
        )
        for row in (
            (methods, f"/v2.1/{noun}", "route.proxies"),
            ("GET", f"/v2.1/{noun}/detail", "route.proxies"),
            ("GET DELETE", f"/v2.1/{noun}/<item_id>", "route.proxies"),
        )
    ),
    ("GET POST", "/v2.1/os-security-groups", "route.proxies"),
    ("GET PUT DELETE", "/v2.1/os-security-groups/<group_id>", "route.proxies"),
    ("POST", "/v2.1/os-security-group-rules", "route.proxies"),
    ("DELETE", "/v2.1/os-security-group-rules/<rule_id>", "route.proxies"),
    ("GET POST", "/v2.1/os-floating-ips", "route.proxies"),
    ("GET DELETE", "/v2.1/os-floating-ips/<floating_ip_id>", "route.proxies"),
    ("GET", "/v2.1/os-floating-ip-pools", "route.proxies"),
    ("GET", "/v2.1/os-networks", "route.proxies"),
    ("GET", "/v2.1/os-networks/<network_id>", "route.proxies"),
    ("GET", "/v2.1/os-tenant-networks", "route.proxies"),
    ("GET", "/v2.1/os-tenant-networks/<network_id>", "route.proxies"),
    ("GET", "/v2.1/os-hosts", "route.hosts"),
    ("GET PUT", "/v2.1/os-hosts/<name>", "route.hosts"),
    ("GET", "/v2.1/os-hosts/<name>/<power_action>", "route.hosts"),
)

_ANY = "GET POST PUT DELETE"
# What upstream removed for good, whatever the version.
GONE: tuple[tuple[str, str], ...] = (
    *(
        row
        for noun in (
            "os-agents",
            "os-cells",
            "os-certificates",
            "os-cloudpipe",
            "os-fixed-ips",
            "os-floating-ip-dns",
            "os-floating-ips-bulk",
            "os-fping",
            "os-security-group-default-rules",
        )
        for row in ((_ANY, f"/v2.1/{noun}"), (_ANY, f"/v2.1/{noun}/<path:rest>"))
    ),
    ("GET", f"{_SERVER}/os-virtual-interfaces"),
    *(
        row
        for noun in ("os-networks", "os-tenant-networks")
        for row in (
            ("POST", f"/v2.1/{noun}"),
            ("PUT DELETE", f"/v2.1/{noun}/<network_id>"),
            ("POST", f"/v2.1/{noun}/<network_id>/action"),
        )
    ),
)


def routes() -> list[Route]:
    """Return the rows of the URL table for all of these; none needs a token to say no."""
    table = [
        Route(method, path, _NotBuilt(row), None, transaction="own", raw_body=True)
        for methods, path, row in NOT_BUILT
        for method in methods.split()
    ]
    return table + [
        Route(method, path, _gone, None, transaction="own", raw_body=True)
        for methods, path in GONE
        for method in methods.split()
    ]


class _NotBuilt:
    """The handler of a path that is there in some microversions only, and not built in any."""

    def __init__(self, row: str | None) -> None:
        self.row = row

    def __call__(self, call: Call, **_path: str) -> Reply:
        if self.row is not None:
            demand(call.version, self.row)
        raise NotBuilt(
            f"{call.request.method} {call.request.path} is part of this API, but this release of "
            "Novella does not have it yet. See CHANGELOG.md for what is there."
        )


def _gone(call: Call, **_path: str) -> Reply:
    raise Gone(f"{call.request.path} was removed from this API for good. Use the network service.")
