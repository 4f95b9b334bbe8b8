"""The two services of a network on a host, dnsmasq and the metadata server, and their folders."""

from __future__ import annotations

import os
from typing import Any

from . import (
    names,
    network_files,
    service_readiness,
    service_s6,
    service_units,
    subnets,
    work,
)

METADATA_SERVER = "/usr/local/lib/novella/metadata_server.py"


def have(
    params: dict[str, Any],
    files: network_files.NetworkFiles,
    served: list[subnets.Subnet],
    is_new: bool,
    check_mode: bool,
) -> tuple[bool, list[dict[str, str]], list[service_readiness.Listener]]:
    """Have both services as `params` (network_namespace's) want them.

    Return whether that is a change, the diffs, and what `wait` is to wait for, which takes a moment
    when they have just been started. `is_new`: what runs already belongs to a namespace that is
    gone, and is started again.
    """
    conf = subnets.dnsmasq_conf(
        served,
        params["mtu"],
        files.dhcp_hosts,
        files.leases,
        params["dhcp_user"],
        files.dhcp_opts,
    )
    before = work.read_file(files.dnsmasq_conf) or ""
    diffs = (
        [work.text_diff(files.dnsmasq_conf, before, conf or "")] if before != (conf or "") else []
    )
    changed = bool(diffs)
    if not check_mode:
        changed = _have_folders(files, params["metadata_user"]) or changed
        if conf is None:
            work.remove_file(files.dnsmasq_conf)
        else:
            work.write_file(files.dnsmasq_conf, conf, 0o644)
    backend, has_new_conf = params["service_backend"], bool(diffs) and bool(before)
    dhcp = dhcp_service(files)
    listeners = []
    if conf is None:
        results = [service_units.absent(dhcp.name, backend, check_mode)]
    else:
        state = "restarted" if is_new or has_new_conf else "started"
        results = [service_units.present(dhcp, backend, check_mode, state)]
        pid = results[0]["service"]["pid"]
        kind, port = subnets.listener(served)
        listeners.append(service_readiness.Listener(dhcp, kind, port, params["dhcp_user"], pid))
    metadata = metadata_service(files, params["metadata_user"])
    state = "restarted" if is_new else "started"
    results.append(service_units.present(metadata, backend, check_mode, state))
    pid = results[1]["service"]["pid"]
    user = params["metadata_user"]
    listeners.append(service_readiness.Listener(metadata, "tcp", 80, user, pid))
    for result in results:
        if result["changed"]:
            changed = True
            diffs += [diff for diff in result["diff"] if diff["before"] != diff["after"]]
    return changed, diffs, listeners


def wait(params: dict[str, Any], listeners: list[service_readiness.Listener]) -> tuple[int, ...]:
    """Wait until guests are served: one that boots meanwhile would go without an address.

    Return the processes that serve.
    """
    where, backend = f"network {params['network_id']}", params["service_backend"]
    return tuple(service_readiness.wait(listener, backend, where) for listener in listeners)


def _have_folders(files: network_files.NetworkFiles, metadata_user: str) -> bool:
    # The metadata server's user reads its documents, nobody else does, and it changes none; beside
    # them it keeps what guests post.
    gid = int(service_s6.primary_group(metadata_user))
    return any(
        [
            network_files.make_folder(os.path.dirname(files.folder), network_files.PASSAGE_MODE),
            network_files.make_folder(files.folder, network_files.PASSAGE_MODE),
            network_files.make_folder(files.dhcp_hosts, 0o755),
            network_files.make_folder(files.dhcp_opts, 0o755),
            network_files.make_folder(files.metadata, 0o750, gid),
            network_files.make_folder(files.passwords, 0o770, gid),
        ]
    )


def dhcp_service(files: network_files.NetworkFiles) -> service_units.Service:
    # As root: dnsmasq binds port 67 and then becomes the user of its configuration.
    return service_units.Service(
        name=names.dhcp_service(files.network_id),
        argv=["/usr/sbin/dnsmasq", "--keep-in-foreground", f"--conf-file={files.dnsmasq_conf}"],
        description=f"DHCP of Novella's network {files.network_id}",
        netns=names.namespace_name(files.network_id),
    )


def metadata_service(files: network_files.NetworkFiles, user: str) -> service_units.Service:
    return service_units.Service(
        name=names.metadata_service(files.network_id),
        # -I: neither the environment nor a home folder adds to the import path.
        argv=[
            "/usr/bin/python3", "-I", "-S", METADATA_SERVER,
            f"{subnets.METADATA_IP}:80", files.metadata, files.passwords,
        ],
        description=f"metadata of Novella's network {files.network_id}",
        user=user,
        netns=names.namespace_name(files.network_id),
    )  # fmt: skip
