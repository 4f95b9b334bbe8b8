"""Settings: one file, one dataclass. `NOVELLA_CONFIG` names the file; every field has a default."""

import ipaddress
import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from controller import quota_defaults, segment_ranges
from controller.errors import BadRequest
from controller.states import BY_OPERATION

PROJECT_DIR = Path(__file__).resolve().parent.parent
DEFAULT_CONFIG = Path("/etc/novella/novella.toml")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can set, with its unit in the name. Paths are absolute."""

    # Everything the controller keeps: database, images, keys, artifacts.
    state_dir: Path = Path("/var/lib/novella-controller")
    # Where the database is: postgresql://user:password@host/name or mariadb://...; empty means
    # SQLite in `state_dir`.
    database_url: str = field(default="", repr=False)
    # A RabbitMQ broker that wakes the workers of other machines: amqp://user:password@host/vhost.
    # Empty means that all workers are on this machine.
    queue_url: str = field(default="", repr=False)
    # What several controllers have in common; each lies in `state_dir` unless it is set.
    # Fernet keys of tokens and of sealed secrets; readable by the controller alone.
    keys_dir: Path = Path()
    # The controller's SSH key and the hosts' pinned keys; for the runner's user alone.
    ssh_dir: Path = Path()
    images_dir: Path = Path()
    # Where playbooks, roles and plugins lie: a checkout of this repository.
    project_dir: Path = PROJECT_DIR

    listen_host: str = "127.0.0.1"
    listen_port: int = 8774
    # How clients reach us, as the catalog says it; empty means http://listen_host:listen_port.
    public_url: str = ""
    # Networks (192.0.2.0/28) or addresses of proxies whose X-Forwarded-* are believed.
    trusted_proxies: tuple[str, ...] = ()
    api_workers: int = 1
    api_threads: int = 8
    max_body_bytes: int = 1 << 20
    max_image_bytes: int = 1 << 40
    # What an upload leaves free where images lie: the database may be on the same disk.
    image_store_reserve_mb: int = 1024

    region: str = "RegionOne"
    availability_zone: str = "nova"

    # Identity
    token_lifetime_s: int = 4 * 3600
    # Wrong passwords within the window, then 429: for a user from one address, and for any users
    # from one address. Beyond the third, which counts a user's from everywhere, nobody is shut
    # out: each address that has failed once for that user waits.
    auth_attempts: int = 10
    auth_attempts_per_address: int = 100
    auth_attempts_per_user: int = 100
    auth_window_s: int = 60

    # Servers: none, project or global.
    unique_server_names: str = "none"
    max_servers_per_request: int = 100
    # Actions on servers that may wait for a worker; with more of them only deletes are accepted.
    queue_max: int = 5000
    default_quota: dict[str, int] = field(default_factory=dict)

    # Conductor
    worker_threads: int = 8
    lease_s: int = 30
    poll_s: float = 1.0
    create_attempts: int = 3
    run_timeout_s: int = 900
    # A host's runs that may go on at once; sshd's MaxSessions is 10.
    runs_per_host: int = 2
    batch_max: int = 50
    heartbeat_s: int = 60
    # What is done with a stopped server whose guest runs all the same: repair (it is stopped), or
    # report.
    power_sync: str = "repair"
    # Whether servers that should run are started after their host's boot; else they are SHUTOFF.
    resume_guests_on_host_boot: bool = True
    shutdown_timeout_s: int = 60
    # How long a deleted server is kept, off, for its owner to restore it; 0 deletes at once.
    reclaim_instance_interval_s: int = 0
    # How long a shelved server stays on its host: 0 leaves it at once, -1 when an administrator
    # offloads it.
    shelved_offload_time_s: int = 0
    # Whether a resize may leave a server on the host that it is on.
    allow_resize_to_same_host: bool = False
    # After how many seconds a resize is confirmed by itself; 0 is never.
    resize_confirm_window_s: int = 0
    # How many snapshots a server may have inside its disks.
    disk_snapshots_max: int = 5
    # How long the copy of a server's disks to another host may take.
    move_timeout_s: int = 14400
    # Whether all hosts keep servers' folders on one shared file system. A server of a dead host
    # goes on with its own disk then, else with a new one of its image. Live migrations copy none.
    shared_instances_path: bool = False
    # The operator's own playbook that switches a dead host off for certain (its name ends in .yml);
    # empty: an administrator says so. See docs/operators.md.
    fence_playbook: str = ""
    # Servers of a host that is drained which move at once.
    drain_batch: int = 5
    artifacts_kept: int = 200
    artifacts_days: int = 30
    # How often all hosts are compared with the database, and leftovers removed.
    reap_every_s: int = 3600
    # How long disks of deleted servers that a host still had are set aside before they go.
    quarantine_s: int = 86400
    # How long a host keeps a base image that no disk stands on, since its last use.
    image_cache_age_s: int = 86400
    # How often hosts remove such base images, and disks whose time aside is over.
    host_tidy_every_s: int = 3600
    # How often the base images of hosts are read, and damaged ones fetched anew; 0 is never.
    image_check_every_s: int = 86400
    # How long bringing an image to a host ahead of its servers may take.
    image_prefetch_timeout_s: int = 3600
    # How long a worker that was told to stop waits for its runs before it hands them on.
    stop_timeout_s: int = 45
    # A clean-up that failed is tried again after this long, then twice as long, up to an hour.
    retry_backoff_s: int = 10
    # What runs the playbooks: ansible, or simulated (no host is touched; for tests and scale).
    executor: str = "ansible"
    simulated_delay_s: float = 0.0
    # The share of simulated items that fail, from 0 to 1.
    simulated_failure_rate: float = 0.0
    # Whether playbooks are run by forks of a process that has Ansible loaded; they are run by plain
    # ansible-playbook when it is away.
    fork_server: bool = True
    # Where a run keeps its arguments, secrets among them: memory, and a short path, since the
    # sockets of SSH connections lie there too.
    runs_dir: Path = Path("/dev/shm/novella")  # noqa: S108 -- made 0700 and checked to be ours

    # Operators' own roles, run around operations: each {"operations": [kinds], "before": [roles],
    # "after": [roles]} and perhaps "aggregate", a name in `aggregates`, whose hosts it is for.
    hooks: tuple[dict[str, Any], ...] = ()
    # Names of hosts, by a name for all of them.
    aggregates: dict[str, list[str]] = field(default_factory=dict)

    # Networks
    # What projects' own networks are: vxlan, vlan or local; empty: they can make none.
    tenant_network_type: str = "vxlan"
    # The ids that VXLAN networks are given out of, such as "100-199".
    vxlan_ids: tuple[str, ...] = ("1-65535",)
    # The same of VLANs, by physical network.
    vlan_ids: dict[str, list[str]] = field(default_factory=dict)
    # What comes after the names of ports.
    dns_domain: str = "openstacklocal"
    # The largest packet on the hosts' interfaces; overlay networks have 50 bytes less.
    physical_mtu: int = 1500

    # Scheduler: classes by name, tried in this order.
    scheduler_filters: tuple[str, ...] = (
        "Enabled",
        "AvailabilityZone",
        "ForcedHost",
        "Virtualization",
        "PhysicalNetwork",
    )
    scheduler_weighers: tuple[str, ...] = ("Ram", "Cpu", "Disk")

    # What of a host's resources is kept for itself, and how far the rest may be overbooked.
    reserved_memory_mb: int = 512
    reserved_disk_gb: int = 0
    cpu_allocation_ratio: float = 4.0
    memory_allocation_ratio: float = 1.0
    disk_allocation_ratio: float = 1.0

    policy_file: str = ""

    # Logs: text for people, or json, a dictionary a line.
    log_format: str = "text"
    log_level: str = "info"
    # Where Prometheus reads, as address:port; empty for nowhere. Never on the API's own port.
    metrics_listen: str = "127.0.0.1:9774"
    # What it must send (Authorization: Bearer ...); needed on any address but loopback.
    metrics_token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in ("keys", "ssh", "images"):
            if getattr(self, f"{name}_dir") == Path():
                object.__setattr__(self, f"{name}_dir", self.state_dir / name)

    @property
    def db_url(self) -> str:
        return self.database_url or f"sqlite:///{self.state_dir / 'novella.db'}"

    @property
    def endpoint(self) -> str:
        """The address that clients use, without a trailing slash."""
        return self.public_url.rstrip("/") or f"http://{self.listen_host}:{self.listen_port}"

    @property
    def artifacts_dir(self) -> Path:
        return self.state_dir / "artifacts"

    @property
    def metrics_dir(self) -> Path:
        """Where each process keeps its figures, for all of them to be read in one place."""
        return self.run_dir / "metrics"

    @property
    def run_dir(self) -> Path:
        """Sockets and lock files."""
        return self.state_dir / "run"


_CHOICES = {
    "unique_server_names": ("none", "project", "global"),
    "executor": ("ansible", "simulated"),
    "power_sync": ("repair", "report"),
    "tenant_network_type": ("vxlan", "vlan", "local", ""),
    "log_format": ("text", "json"),
    "log_level": ("debug", "info", "warning", "error"),
}
# Kinds as the file has them, where the name of our type is no help.
_KINDS: dict[type, str] = {type(Path()): "path", tuple: "list"}


def load(path: Path | None = None, **overrides: Any) -> Settings:
    """Return the settings of `path`, of $NOVELLA_CONFIG, or of /etc/novella/novella.toml.

    A missing default file means the defaults; a named one that is missing, or that has an unknown
    name or a value of the wrong kind, is refused by name. `overrides` win over the file.
    """
    named = path or (Path(os.environ["NOVELLA_CONFIG"]) if "NOVELLA_CONFIG" in os.environ else None)
    source = named or DEFAULT_CONFIG
    values: dict[str, Any] = {}
    if source.exists():
        try:
            values = tomllib.loads(source.read_text())
        except tomllib.TOMLDecodeError as error:
            raise BadRequest(f"Cannot read settings {source}: {error}. Mend the file.") from error
    elif named:
        raise BadRequest(f"Cannot read settings {source}: no such file. Name one that exists.")
    values |= overrides
    settings = Settings(**{name: _checked(name, value, source) for name, value in values.items()})
    _check_hooks(settings, source)
    return settings


def _checked(name: str, value: Any, source: Path) -> Any:
    """Return `value` as the type that the field `name` has, or refuse it."""
    known = {entry.name: entry for entry in fields(Settings)}
    if name not in known:
        raise BadRequest(
            f"Unknown setting '{name}' in {source}. Known are: {', '.join(sorted(known))}."
        )
    default = getattr(Settings(), name)
    if isinstance(default, Path) and isinstance(value, str | Path):
        return Path(value).resolve()
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        is_network = name == "trusted_proxies"
        return tuple(_network(name, entry, source) if is_network else entry for entry in value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        kind = _KINDS.get(type(default), type(default).__name__)
        raise BadRequest(f"Setting '{name}' in {source} is {value!r}; expected a {kind}.")
    if name == "default_quota":
        _check_quota(value, source)
    if name == "vxlan_ids":
        _check_ids(name, segment_ranges.VXLAN, value, source)
    if name == "vlan_ids":
        for texts in value.values():
            _check_ids(name, segment_ranges.VLAN, texts, source)
    if value not in _CHOICES.get(name, (value,)):
        raise BadRequest(
            f"Setting '{name}' in {source} is {value!r}; it may be {' or '.join(_CHOICES[name])}."
        )
    return value


_HOOK_LISTS = frozenset({"operations", "before", "after"})


def _check_hooks(settings: Settings, source: Path) -> None:
    """Refuse a hook that would never run, or that is for nobody."""
    aggregates = {None, *settings.aggregates}
    for hook in settings.hooks:
        if not _is_hook(hook) or hook.get("aggregate") not in aggregates:
            raise BadRequest(
                f"Setting 'hooks' in {source} has {hook!r}; expected lists 'operations' (such as "
                "server_create), 'before' or 'after' (names or paths of roles), and perhaps "
                f"'aggregate', one of {', '.join(sorted(settings.aggregates)) or '[aggregates]'}."
            )


def _is_hook(hook: Any) -> bool:
    if not isinstance(hook, dict) or not set(hook) <= _HOOK_LISTS | {"aggregate"}:
        return False
    lists = {name: hook[name] for name in _HOOK_LISTS & set(hook)}
    if not all(isinstance(each, list) for each in lists.values()):
        return False
    known = all(kind in BY_OPERATION for kind in lists.get("operations", []))
    words = all(isinstance(word, str) for each in lists.values() for word in each)
    return known and words and bool(lists.get("operations")) and len(lists) > 1


def _check_quota(limits: dict[str, Any], source: Path) -> None:
    """Refuse limits of what nothing counts, and what is no limit."""
    for name, limit in limits.items():
        if name not in quota_defaults.NAMES:
            raise BadRequest(
                f"Setting 'default_quota' in {source} has an unknown name {name!r}. Known are: "
                f"{', '.join(sorted(quota_defaults.NAMES))}."
            )
        if type(limit) is not int or limit < quota_defaults.UNLIMITED:
            raise BadRequest(
                f"Setting 'default_quota' in {source} has {name} = {limit!r}; expected a number, "
                f"or {quota_defaults.UNLIMITED} for no limit."
            )


def _check_ids(name: str, kind: str, texts: Any, source: Path) -> None:
    """Refuse ranges that no id can come from."""
    try:
        segment_ranges.parse(kind, texts if isinstance(texts, list | tuple) else [texts])
    except BadRequest as error:
        raise BadRequest(f"Setting '{name}' in {source}: {error.message}") from error


def _network(name: str, value: Any, source: Path) -> str:
    """Return an IP network as it is written in full, or refuse it."""
    try:
        return str(ipaddress.ip_network(value))
    except (ValueError, TypeError) as error:
        raise BadRequest(
            f"Setting '{name}' in {source} has {value!r}; expected addresses or networks such as "
            "192.0.2.10 or 192.0.2.0/28."
        ) from error
