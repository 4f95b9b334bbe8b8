"""The books against themselves: servers, operations, allocations, ports, image store, artifacts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from controller.conductor.audit.books import Books
from controller.conductor.audit.findings import Finding
from controller.conductor.server_cleanup import KIND as CLEANUP
from controller.core.operations import QUEUED, RUNNING
from controller.placement import inventories
from controller.settings import Settings
from controller.states import DOMAIN_STATES

# A worker polls every second; what it doesn't take for so long waits for nobody's turn.
WAITING_S = 120.0


@dataclass(frozen=True, slots=True)
class Store:
    """What is on the controller's own disk: image files (id -> bytes), and folders of artifacts.

    `unknown_artifacts` are those of no operation.
    """

    image_files: Mapping[str, int] = field(default_factory=dict)
    artifacts: int = 0
    unknown_artifacts: tuple[str, ...] = ()


def compare(books: Books, store: Store, settings: Settings) -> list[Finding]:
    """Return what of the books disagrees with itself, or with the controller's disk."""
    return [
        *_servers(books),
        *_operations(books, settings),
        *allocations(books),
        *_inventories(books, settings),
        *_ports(books),
        *_images(books, store),
        *_artifacts(store, settings),
    ]


def _servers(books: Books) -> Iterator[Finding]:
    live = {each.server_id for each in books.operations if each.ordered}
    for server in books.servers.values():
        if server.task_state and server.id not in live:
            what = f"server {server.id} is {server.task_state}, and no operation stands for it"
            yield Finding("task_without_operation", server.id, what, server.id)
        if server.host_id is None and server.state in DOMAIN_STATES:
            what = f"server {server.id} is {server.state}, and is on no host"
            yield Finding("server_without_host", server.id, what, server.id)


def _operations(books: Books, settings: Settings) -> Iterator[Finding]:
    lost_at = books.taken_at - timedelta(seconds=settings.lease_s)
    waiting_at = books.taken_at - timedelta(seconds=WAITING_S)
    running = {each.server_id for each in books.operations if each.state == RUNNING}
    for each in books.operations:
        title = f"operation {each.kind} {each.id}"
        expired = each.lease_until is None or each.lease_until < lost_at
        if each.state == RUNNING and (each.lease_owner is None or expired):
            what = f"{title} runs, and its lease of {each.lease_owner} ended at {each.lease_until}"
            yield Finding("operation_without_owner", each.id, what)
        if each.state == QUEUED and each.not_before < waiting_at and each.server_id not in running:
            what = f"{title} could have been started at {each.not_before}"
            yield Finding("operation_waits", each.id, what)
        gone = each.server_id is not None and each.server_id not in books.servers
        if gone and each.kind != CLEANUP:
            what = f"{title} is {each.state}, and its server {each.server_id} is deleted"
            yield Finding("operation_of_deleted_server", each.id, what)
    for operation_id in books.secret_keepers:
        what = f"operation {operation_id} has ended, and its secrets are still there"
        yield Finding("secrets_kept", operation_id, what)


def allocations(books: Books) -> Iterator[Finding]:
    """Yield what is wrong between allocations and those who should hold them."""
    held = dict(books.allocations)
    for server in books.servers.values():
        if server.host_id is None:
            continue
        there = held.pop((server.id, server.host_id), None)
        if there is None and server.settled:
            yield _of_server("allocation_missing", books, server.id, "holds nothing there")
        elif there is not None and there != server.resources:
            what = f"holds {_amounts(there)} there and takes {_amounts(server.resources)}"
            yield _of_server("allocation_differs", books, server.id, what)
    cleanups = {(each.id, each.host_id): each for each in books.operations if each.kind == CLEANUP}
    moves = {(uuid, source) for uuid, source, _ in books.moves}
    for consumer, provider in sorted(held):
        if (consumer, provider) in cleanups or (consumer, provider) in moves:
            continue
        what = (
            f"{_amounts(held[consumer, provider])} of {_host_name(books, provider)} are held for "
            f"{consumer}, which is neither a server there nor a clean-up under way"
        )
        server_id = consumer if consumer in books.servers else None
        yield Finding(
            "allocation_of_nobody", consumer, what, server_id,
            _host_name(books, provider), provider,
        )  # fmt: skip


def _of_server(kind: str, books: Books, server_id: str, what: str) -> Finding:
    host_id = books.servers[server_id].host_id or ""
    name = _host_name(books, host_id)
    return Finding(
        kind, server_id, f"server {server_id} is on {name} and {what}", server_id, name, host_id
    )


def _inventories(books: Books, settings: Settings) -> Iterator[Finding]:
    for host in books.hosts.values():
        if not host.facts:
            continue
        wanted = inventories.of_host(settings, host.facts)
        totals = {name: amount.total for name, amount in wanted.items()}
        there = books.inventories.get(host.id, {})
        if there != totals:
            what = f"{host.name} has {_amounts(totals)}, and placement counts {_amounts(there)}"
            yield Finding("inventory_differs", host.id, what, None, host.name, host.id)


def _ports(books: Books) -> Iterator[Finding]:
    unfinished = {each.server_id for each in books.operations}
    for port in books.ports.values():
        server = books.servers.get(port.server_id)
        if server is None:
            # A deleted server's addresses stay taken until no host can be running it.
            if port.server_id not in unfinished:
                what = f"port {port.id} is of server {port.server_id}, which is deleted"
                yield Finding("port_of_no_server", port.id, what, port.server_id)
            continue
        if server.settled and port.host_id != server.host_id:
            on = _host_name(books, port.host_id or "")
            what = f"port {port.id} is bound to {on}, and its server {server.id} is elsewhere"
            yield Finding("port_on_other_host", port.id, what, server.id)


def _images(books: Books, store: Store) -> Iterator[Finding]:
    for image_id, size_bytes in books.images.items():
        there = store.image_files.get(image_id)
        if there is None:
            what = f"image {image_id} is active, and its file is not in the store"
            yield Finding("image_file_missing", image_id, what)
        elif size_bytes is not None and there != size_bytes:
            what = f"the file of image {image_id} has {there} bytes, and {size_bytes} were uploaded"
            yield Finding("image_file_size", image_id, what)
    for image_id in sorted(set(store.image_files) - books.known_images):
        what = f"the image store has a file {image_id}, and there is no such image"
        yield Finding("image_file_of_nobody", image_id, what)


def _artifacts(store: Store, settings: Settings) -> Iterator[Finding]:
    for name in store.unknown_artifacts:
        what = f"there are artifacts of {name}, which is no operation"
        yield Finding("artifacts_of_nobody", name, what)
    # Runs that end at the same moment each keep theirs before either counts.
    if store.artifacts > settings.artifacts_kept + settings.batch_max * settings.worker_threads:
        what = f"{store.artifacts} operations have artifacts; {settings.artifacts_kept} are kept"
        yield Finding("too_many_artifacts", "artifacts", what)


def _host_name(books: Books, host_id: str) -> str:
    host = books.hosts.get(host_id)
    return host.name if host else (host_id or "no host")


def _amounts(resources: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {amount}" for name, amount in sorted(resources.items())) or "nothing"
