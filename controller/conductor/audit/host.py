"""The books against one host: what must be there, what may be, and what is there besides.

Of a settled server (in a state of DOMAIN_STATES, nothing being done to it) everything must be as
the books say. Of one that is in error, or being worked on, everything may be there. The rest is a
leftover when there is a record that it was deleted, and a stray when there is none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from controller import host_names
from controller.conductor.audit.books import BookHost, BookPort, Books, BookServer
from controller.conductor.audit.findings import Finding
from controller.conductor.audit.reports import Domain, Fence, Folder, HostReport
from controller.conductor.host_adopt import KIND as ADOPT
from controller.core.port_updates import KIND as PORT_UPDATE
from controller.states import ACTIVE, DOMAIN_STATES, OFF

# Ends the name of a folder that waits for a move to be confirmed or reverted.
ASIDE = "_resize"


def compare(books: Books, host: BookHost, report: HostReport) -> list[Finding]:
    """Return where the books and the host disagree."""
    return list(_Comparison(books, host, report).findings())


@dataclass(frozen=True, slots=True)
class _Comparison:
    books: Books
    host: BookHost
    report: HostReport

    def findings(self) -> Iterator[Finding]:
        for part, why in sorted(self.report.unread.items()):
            yield self._finding("host_unread", part, f"{part} of {self.host.name}: {why}")
        yield from self._age()
        here = [server for server in self.books.of_host(self.host.id) if server.settled]
        if "domains" not in self.report.unread:
            yield from self._domains(here)
        yield from self._folders(here)
        if "links" not in self.report.unread and "domains" not in self.report.unread:
            yield from self._taps(here)
        if "chains" not in self.report.unread:
            yield from self._rules(here)
        yield from self._addresses(here)
        yield from self._networks(here)
        yield from self._besides()

    # --- what must be there ------------------------------------------------------------------

    def _age(self) -> Iterator[Finding]:
        """Yield where the host has seen what the database doesn't know of."""
        for fence in self.report.fences.values():
            if fence.owner != self.books.cloud_id:
                continue
            if fence.server_id == self.host.id:
                yield from self._own_age(fence)
                continue
            server = self.books.servers.get(fence.server_id)
            known = server.generation if server else self.books.deleted.get(fence.server_id)
            if known is None and self._is_adopting():
                # It has our mark before it has its row.
                continue
            if known is None:
                what = f"{self.host.name} has had server {fence.server_id}, which is not known"
                yield self._finding("database_is_older", fence.server_id, what)
            elif fence.generation is not None and fence.generation > known:
                what = (
                    f"{self.host.name} has had run {fence.generation} of server "
                    f"{fence.server_id}, and the database is at {known}"
                )
                yield self._finding("database_is_older", fence.server_id, what, fence.server_id)

    def _own_age(self, fence: Fence) -> Iterator[Finding]:
        """The host has a fence of its own, of runs about all that is there."""
        known = self.host.generation
        if fence.generation is not None and fence.generation > known:
            what = (
                f"{self.host.name} has had run {fence.generation} about all of it, and the "
                f"database is at {known}"
            )
            yield self._finding("database_is_older", self.host.id, what)

    def _is_adopting(self) -> bool:
        return any(
            each.kind == ADOPT and each.host_id == self.host.id for each in self.books.operations
        )

    def _domains(self, here: list[BookServer]) -> Iterator[Finding]:
        domains = {domain.id: domain for domain in self.report.domains}
        for server in here:
            domain = domains.get(server.id)
            if domain is None:
                what = f"server {server.id} is {server.state}, and {self.host.name} has no domain"
                yield self._of(server, "domain_missing", what)
                continue
            if domain.cloud_id != self.books.cloud_id:
                what = f"the domain of server {server.id} bears the mark {domain.cloud_id}"
                yield self._of(server, "domain_foreign", what)
            if not _fits(server, domain):
                what = f"server {server.id} is {server.state}, and its domain is {domain.state}"
                yield self._of(server, "power_state", what)
            if domain.autostart:
                what = f"libvirt would start server {server.id} by itself"
                yield self._of(server, "autostart", what)

    def _folders(self, here: list[BookServer]) -> Iterator[Finding]:
        folders = {folder.name: folder for folder in self.report.folders}
        for server in here:
            folder = folders.get(server.id)
            files = folder.files if folder else frozenset()
            for name in sorted(_disks(server) - files):
                what = f"server {server.id} has no {name} on {self.host.name}"
                yield self._of(server, "disk_missing", what)
            if folder and "libvirt.xml" not in files:
                what = f"server {server.id} has no libvirt.xml on {self.host.name}"
                yield self._of(server, "definition_missing", what)
            for base in folder.lost_bases if folder else ():
                what = f"a disk of server {server.id} stands on {base}, which is not there"
                yield self._of(server, "base_missing", what)

    def _taps(self, here: list[BookServer]) -> Iterator[Finding]:
        running = {domain.id for domain in self.report.domains if domain.state not in OFF}
        for server, port in self._ports(here):
            if server.id not in running:
                continue
            tap, bridge = host_names.tap(port.id), host_names.bridge(port.network_id)
            if tap not in self.report.taps:
                what = f"port {port.id} of server {server.id} has no tap {tap}"
                yield self._of(server, "tap_missing", what, port.id)
            elif self.report.taps[tap] != bridge:
                what = f"tap {tap} of port {port.id} is in {self.report.taps[tap]}, not in {bridge}"
                yield self._of(server, "tap_astray", what, port.id)

    def _rules(self, here: list[BookServer]) -> Iterator[Finding]:
        updating = any(
            each.kind == PORT_UPDATE and each.host_id == self.host.id
            for each in self.books.operations
        )
        if here:
            for jump in self.report.missing_jumps:
                what = f"{self.host.name} does not call our chains: {jump}"
                yield self._finding("rules_base", jump, what)
        for server, port in self._ports(here):
            if host_names.tap(port.id) not in self.report.filtered_taps and not updating:
                what = f"there are no rules for port {port.id} of server {server.id}"
                yield self._of(server, "rules_missing", what, port.id)

    def _addresses(self, here: list[BookServer]) -> Iterator[Finding]:
        reservations = {each.port_id: each for each in self.report.reservations}
        for server, port in self._ports(here):
            wanted = {
                (port.mac_address.lower(), ip) for ip, version in port.addresses if version == 4
            }
            found = reservations.get(port.id)
            if found is None:
                what = f"port {port.id} of server {server.id} has no reservation with DHCP"
                yield self._of(server, "dhcp_missing", what, port.id)
            elif found.pairs != wanted:
                what = f"DHCP gives port {port.id} {sorted(found.pairs)}, not {sorted(wanted)}"
                yield self._of(server, "dhcp_differs", what, port.id)
            for address, _ in port.addresses:
                if (port.network_id, address) not in self.report.metadata:
                    what = f"nothing is served to {address} of server {server.id}"
                    yield self._of(server, "metadata_missing", what, f"{port.id} {address}")

    def _networks(self, here: list[BookServer]) -> Iterator[Finding]:
        active = [server for server in here if server.state == ACTIVE]
        for network_id in sorted({port.network_id for _, port in self._ports(active)}):
            missing = [*self._missing_parts(network_id)]
            if missing:
                what = f"network {network_id} on {self.host.name} lacks {', '.join(missing)}"
                yield self._finding("network_incomplete", network_id, what)
        for router_id, services in sorted(self._advertising().items()):
            silent = [name for name in services if self.report.services[name] != "up"]
            if silent and any(router.id == router_id for router in self.report.routers):
                what = f"router {router_id} on {self.host.name} lacks {', '.join(silent)}"
                yield self._finding("network_incomplete", f"router {router_id}", what)

    def _advertising(self) -> dict[str, list[str]]:
        """Return the services that advertise routers, by the router's id."""
        found: dict[str, list[str]] = {}
        for name in sorted(self.report.services):
            kind, _, rest = name.partition("-")
            if kind == "ra":
                found.setdefault(rest.partition(".")[0], []).append(name)
        return found

    def _missing_parts(self, network_id: str) -> Iterator[str]:
        report = self.report
        if "links" not in report.unread:
            if host_names.bridge(network_id) not in report.bridges:
                yield "its bridge"
            if host_names.veth(network_id) not in report.veths:
                yield "the cable of its namespace"
        if network_id not in report.namespaces:
            yield "its namespace"
        if "services" in report.unread:
            return
        services = [host_names.metadata_service(network_id)]
        if network_id in self.books.dhcp_networks:
            services.append(host_names.dhcp_service(network_id))
        yield from (name for name in services if report.services.get(name) != "up")

    # --- what is there besides ---------------------------------------------------------------

    def _besides(self) -> Iterator[Finding]:
        """Yield what is there of no server that may have something here."""
        allowed = {server.id for server in self.books.of_host(self.host.id)}
        allowed |= self.books.cleanups_on(self.host.id)
        ports = [port for port in self.books.ports.values() if port.server_id in allowed]
        yield from self._servers_besides(allowed)
        yield from self._ports_besides(ports)
        yield from self._networks_besides({port.network_id for port in ports})

    def _servers_besides(self, allowed: set[str]) -> Iterator[Finding]:
        set_aside = self.books.set_aside_on(self.host.id)
        for domain in self.report.domains:
            if domain.id not in allowed and domain.cloud_id == self.books.cloud_id:
                what = f"{self.host.name} has a domain ({domain.state}) of server {domain.id}"
                yield self._besides_server(domain.id, f"domain {domain.id}", what)
        for folder in self.report.folders:
            server_id = folder.server_id
            if server_id is None or server_id in allowed or not self._is_ours(folder):
                continue
            if folder.name.endswith(ASIDE) and server_id in set_aside:
                continue
            what = f"{self.host.name} has the folder {folder.name} of server {server_id}"
            yield self._besides_server(server_id, f"folder {folder.name}", what)

    def _is_ours(self, folder: Folder) -> bool:
        """Whether the fence beside it, the folder's only mark, says that it is this cloud's."""
        fence = self.report.fences.get(folder.server_id or "")
        return fence is None or fence.owner == self.books.cloud_id

    def _was_ours(self, server_id: str) -> bool:
        """Whether the host's fence record says that this cloud had the server here."""
        fence = self.report.fences.get(server_id)
        return fence is not None and fence.owner == self.books.cloud_id

    def _besides_server(self, server_id: str, subject: str, what: str) -> Finding:
        server = self.books.servers.get(server_id)
        if server is not None:
            on = self.books.hosts.get(server.host_id or "")
            said = f"{what}, which is on {on.name if on else 'no host'}"
            return self._finding("stray", subject, said, server_id)
        if server_id in self.books.deleted and self._was_ours(server_id):
            return self._finding("leftover", subject, f"{what}, which is deleted", server_id)
        return self._finding("stray", subject, f"{what}, of which there is no record", server_id)

    def _ports_besides(self, ports: list[BookPort]) -> Iterator[Finding]:
        report, shorts = self.report, {host_names.short(port.id) for port in ports}
        found: dict[str, list[str]] = {}
        for tap in report.taps:
            found.setdefault(tap[len(host_names.TAP) :], []).append(f"tap {tap}")
        for tap in report.filtered_taps:
            found.setdefault(tap[len(host_names.TAP) :], []).append("rules")
        for table, chain in sorted(report.chains):
            if chain[:5] in ("nv-i-", "nv-o-", "nv-s-"):
                found.setdefault(chain[5:], []).append(f"{table} chain {chain}")
        for each in report.reservations:
            found.setdefault(host_names.short(each.port_id), []).append("a reservation with DHCP")
        for bridge, port_id in report.claims:
            found.setdefault(host_names.short(port_id), []).append(f"a claim to {bridge}")
        for short in sorted(set(found) - shorts):
            things = ", ".join(sorted(set(found[short])))
            yield self._besides_port(short, f"{self.host.name} has {things} of port {short}...")
        addresses = {(port.network_id, ip) for port in ports for ip, _ in port.addresses}
        for network_id, address in sorted(report.metadata - addresses):
            what = f"{self.host.name} serves metadata to {address} of network {network_id}"
            owner = next(
                (
                    each
                    for each in self.books.departed_by_short.values()
                    if each.network_id == network_id and address in each.addresses
                ),
                None,
            )
            was_ours = owner is not None and self._was_ours(owner.server_id)
            kind = "leftover" if was_ours else "stray"
            server_id = owner.server_id if owner else None
            yield self._finding(kind, f"metadata {network_id} {address}", what, server_id)

    def _besides_port(self, short: str, what: str) -> Finding:
        departed = self.books.departed_by_short.get(short)
        if departed is None:
            living = [p for p in self.books.ports.values() if host_names.short(p.id) == short]
            server_id = living[0].server_id if living else None
            return self._finding("stray", f"port {short}", what, server_id)
        kind = "leftover" if self._was_ours(departed.server_id) else "stray"
        return self._finding(kind, f"port {short}", f"{what}, deleted", departed.server_id)

    def _routed(self, allowed: set[str]) -> tuple[set[str], set[str]]:
        """Return the routers on a network of `allowed`, and the short ids of all that they join."""
        used = {host_names.short(each) for each in allowed}
        routers, shorts = set[str](), set(used)
        for router in self.report.routers:
            bridges = [self.report.legs.get(leg) or "" for leg in router.legs]
            joined = {bridge[len(host_names.BRIDGE) :] for bridge in bridges}
            if joined & used:
                routers.add(router.id)
                shorts |= joined | {host_names.short(each) for each in router.external}
        return routers, shorts

    def _routers_besides(self, routed: set[str]) -> Iterator[Finding]:
        for router in self.report.routers:
            if router.id not in routed:
                what = f"{self.host.name} has router {router.id}, on no network that a server uses"
                yield self._finding("stray", f"router {router.id}", what)
        there = {router.id for router in self.report.routers}
        for router_id, services in sorted(self._advertising().items()):
            if router_id not in there:
                what = f"{self.host.name} has {', '.join(services)} of a router that is not there"
                yield self._finding("stray", f"router {router_id}", what)

    def _networks_besides(self, allowed: set[str]) -> Iterator[Finding]:
        report = self.report
        known = allowed | report.networks | report.namespaces | report.external_networks
        by_short = {host_names.short(each): each for each in known}
        found: dict[str, list[str]] = {}
        for network_id in report.networks:
            found.setdefault(network_id, []).append("a folder")
        for network_id in report.namespaces:
            found.setdefault(network_id, []).append("a namespace")
        for network_id in report.external_networks:
            found.setdefault(network_id, []).append("a way out")
        for name in (*report.bridges, *report.veths):
            short = name[len(host_names.BRIDGE) :]
            found.setdefault(by_short.get(short, short), []).append(name)
        for table, chain in report.chains:
            if chain.startswith("nv-n-"):
                found.setdefault(by_short.get(chain[5:], chain[5:]), []).append(f"{table} {chain}")
        for name in report.services:
            kind, _, network_id = name.partition("-")
            if kind in ("dhcp", "metadata"):
                found.setdefault(network_id, []).append(f"service {name}")
        routed, joined = self._routed(allowed)
        yield from self._routers_besides(routed)
        for network_id in sorted(set(found) - allowed):
            if host_names.short(network_id) in joined:
                continue
            things = ", ".join(sorted(set(found[network_id])))
            what = f"{self.host.name} has {things} of network {network_id}, which no server uses"
            departed = self.books.departed_networks.get(network_id, ())
            owner = next((each for each in departed if self._was_ours(each)), None)
            kind = "leftover" if owner else "stray"
            yield self._finding(kind, f"network {network_id}", what, owner)
        groups = {
            host_names.group_set(group_id, version)
            for group_id in self.books.group_ids
            for version in (4, 6)
        }
        for name in sorted(report.sets - groups):
            what = f"{self.host.name} has the set {name} of a security group that is gone"
            yield self._finding("stray", f"set {name}", what)

    # --- ----------------------------------------------------------------------------------------

    def _ports(self, servers: list[BookServer]) -> Iterator[tuple[BookServer, BookPort]]:
        of_server: dict[str, list[BookPort]] = {}
        for port in self.books.ports.values():
            of_server.setdefault(port.server_id, []).append(port)
        for server in servers:
            for port in of_server.get(server.id, []):
                yield server, port

    def _of(self, server: BookServer, kind: str, what: str, subject: str | None = None) -> Finding:
        return self._finding(kind, subject or server.id, what, server.id)

    def _finding(self, kind: str, subject: str, what: str, server_id: str | None = None) -> Finding:
        return Finding(kind, subject, what, server_id, self.host.name, self.host.id)


def _fits(server: BookServer, domain: Domain) -> bool:
    return domain.state in DOMAIN_STATES[server.state]


def _disks(server: BookServer) -> set[str]:
    """Return the files that hold the server's disks."""
    names = {"disk"}
    names |= {"disk.local"} if server.flavor.get("ephemeral_gb") else set()
    names |= {"disk.swap"} if server.flavor.get("swap_mb") else set()
    return names | ({"disk.config"} if server.config_drive else set())
