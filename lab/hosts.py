"""Bring a lab's hosts up and down, look at them, and run commands in them."""

import json
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import host_disk, network
from lab.access import (
    ensure_key,
    inventory_path,
    known_hosts_path,
    operator_key,
    write_access_files,
)
from lab.command import CLEAN_ENV, require_root
from lab.errors import LabError
from lab.host_files import PERSISTENT, boot_files, etc_hosts
from lab.locking import lab_lock, machine_lock
from lab.naming import check_host_name, check_lab_name
from lab.processes import host_init_pid, kill_netns
from lab.progress import step
from lab.record import HostRecord, LabRecord, load, load_existing, record_path, save
from lab.waiting import wait_until

DEFAULT_NAME = "demo"
HOST_INIT = Path(__file__).with_name("host_init.py")
REPOSITORY = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 60


@dataclass(frozen=True)
class HostStatus:
    """A host as it is now. `pid` is its pid 1 as seen on this machine, None when it is off."""

    name: str
    mgmt_ip: str
    netns: str
    pid: int | None
    libvirtd_answers: bool
    sshd_answers: bool

    @property
    def state(self) -> str:
        """One word: up, starting (or ailing: a service of it does not answer) or off."""
        if self.pid is None:
            return "off"
        return "up" if self.libvirtd_answers and self.sshd_answers else "starting"


def up(
    lab_dir: Path,
    names: Sequence[str],
    *,
    name: str | None = None,
    disk_limit_mb: Mapping[str, int] | None = None,
) -> None:
    """Make the hosts called `names` run, beside those that the lab has; what runs is left alone.

    `name` is the lab's, needed once; later calls know it. `disk_limit_mb` bounds /var/lib/novella
    of hosts by name, and is fixed when a host is made. Writes lab.json, known_hosts and
    inventory.yml. Raises LabError when a name does not fit, when another folder's lab has this
    name, or when a host does not start.
    """
    require_root("start a lab")
    lab_dir = lab_dir.absolute()
    if name is not None:
        check_lab_name(name)
    for host_name in names:
        check_host_name(host_name)
    with lab_lock(lab_dir):
        record = _claim(lab_dir, name)
        for host_name in names:
            record = record.with_host(host_name, (disk_limit_mb or {}).get(host_name))
        save(lab_dir, record)
        key = ensure_key(operator_key(lab_dir), f"operator of lab {record.name}")
        keys = {host.name: host_disk.prepare(lab_dir, record, host, key) for host in record.hosts}
        write_access_files(lab_dir, record, keys)
        for host_name in names:
            _start(lab_dir, record, record.host(host_name))
        _tell_hosts_of_each_other(lab_dir, record)


def start(lab_dir: Path, name: str) -> None:
    """Switch the host called `name` on again, with the disks it had; nothing if it is on."""
    up(lab_dir, [load_existing(lab_dir).host(name).name])


def kill(lab_dir: Path, name: str) -> None:
    """Cut the power of the host called `name`: all its processes end at once, its disks stay."""
    require_root("kill a host")
    lab_dir = lab_dir.absolute()
    record = load_existing(lab_dir)
    host = record.host(name)
    with lab_lock(lab_dir), step(f"cut the power of host {name}"):
        pid = host_init_pid(record.names.host_netns(name))
        if pid is not None:
            host_disk.save_accounts(lab_dir, host.name, Path(f"/proc/{pid}/root"))
        kill_netns(record.names.host_netns(name))
        network.host_down(record.names, name)
        host_disk.wait_released(lab_dir, host.name)


def down(lab_dir: Path, *, name: str | None = None, purge: bool = False) -> None:
    """Remove every process, namespace, interface and mount of the lab, half up or without record.

    The lab is found by `name`, by the record in `lab_dir`, or by what the kernel has that belongs
    to `lab_dir`. `purge` removes its files too. Does nothing when there is no such lab.
    """
    require_root("take a lab down")
    lab_dir = lab_dir.absolute()
    lab = name or _recorded_name(lab_dir) or network.lab_of(lab_dir)
    if lab is not None:
        _refuse_foreign(check_lab_name(lab), lab_dir)
        with lab_lock(lab_dir), step(f"take lab {lab} down"):
            _remove(lab)
            host_disk.wait_all_released(lab_dir)
    if purge:
        _purge(lab_dir)


def status(lab_dir: Path) -> list[HostStatus]:
    """Return how each host of the lab is, in the order they were made; empty without a lab."""
    record = load(lab_dir)
    if record is None:
        return []
    return [_status_of(record, host) for host in record.hosts]


def enter_argv(lab_dir: Path, name: str, argv: Sequence[str]) -> list[str]:
    """Return the command line that runs `argv` inside the host called `name`.

    Raises LabError when the host is off.
    """
    record = load_existing(lab_dir)
    netns = record.names.host_netns(record.host(name).name)
    pid = host_init_pid(netns)
    if pid is None:
        raise LabError(
            f"Cannot run {argv[0]} on host {name}: it is off. "
            f"Start it with `python -m lab start-host {name}`."
        )
    namespaces = ("--mount", "--uts", "--ipc", "--net", "--pid")
    return ["nsenter", "--target", str(pid), *namespaces, "--root", "--wd", "--", *argv]


def run(
    lab_dir: Path,
    name: str,
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    check: bool = True,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` as root inside the host called `name` and return what it printed, as text.

    With `check`, an exit status other than 0 raises LabError with the end of its output.
    """
    done = subprocess.run(
        enter_argv(lab_dir, name, argv),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env=dict(CLEAN_ENV),
    )
    if check and done.returncode != 0:
        printed = (done.stderr or done.stdout).strip()[-2000:]
        raise LabError(f"`{' '.join(argv)}` on host {name} ended with {done.returncode}: {printed}")
    return done


def _claim(lab_dir: Path, name: str | None) -> LabRecord:
    """Return the lab's record, saved, with networks that are its own and wired."""
    recorded = load(lab_dir)
    lab = check_lab_name(name or (recorded.name if recorded else DEFAULT_NAME))
    if recorded is not None and recorded.name != lab:
        raise LabError(
            f"Cannot start lab {lab} in {lab_dir}: that folder is lab {recorded.name}'s. "
            "Use another --lab-dir, or `python -m lab down --purge` it first."
        )
    _refuse_foreign(lab, lab_dir)
    if recorded is None:
        _remove(lab)  # what a lab without its record left: its networks could not be known
    record = recorded or LabRecord(lab, 0)
    with machine_lock():
        if network.owner_of(lab) is None:
            index = network.choose_index(recorded.index if recorded else None)
            record = LabRecord(lab, index, record.hosts)
        save(lab_dir, record)
        networks = f"{record.names.mgmt_prefix}.0/24 and {record.names.external_prefix}.0/24"
        with step(f"wire lab {lab}: networks {networks}"):
            network.fabric_up(record.names, lab_dir)
    return record


def _refuse_foreign(lab: str, lab_dir: Path) -> None:
    owner = network.owner_of(lab)
    if owner is not None and owner != str(lab_dir):
        raise LabError(
            f"Cannot touch lab {lab} from {lab_dir}: it is up from {owner}. "
            "Use another --name, or that folder as --lab-dir."
        )


def _start(lab_dir: Path, record: LabRecord, host: HostRecord) -> None:
    netns = record.names.host_netns(host.name)
    if host_init_pid(netns) is not None:
        print(f"lab: host {host.name} runs already", flush=True)
        return
    with step(f"start host {host.name} at {record.names.mgmt_ip(host.number)}"):
        kill_netns(netns)
        host_disk.wait_released(lab_dir, host.name)
        network.host_up(record.names, host.name, host.number)
        log = _launch(lab_dir, record, host)
        try:
            wait_until(
                lambda: _status_of(record, host).state == "up",
                what=f"libvirtd and sshd of host {host.name} answer",
                timeout_s=START_TIMEOUT_S,
            )
        except LabError as error:
            said = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
            raise LabError(f"{error} Its log {log} ends with:\n{said}") from error


def _launch(lab_dir: Path, record: LabRecord, host: HostRecord) -> Path:
    """Start the host's pid 1 and return its log. The host outlives this process."""
    folder = host_disk.hosts_dir(lab_dir) / host.name
    spec_path, log = folder / "spec.json", folder / "init.log"
    spec_path.write_text(json.dumps(_spec(lab_dir, record, host), indent=1), encoding="utf-8")
    argv = [
        *("setsid", "--fork"),
        *("nsenter", f"--net=/run/netns/{record.names.host_netns(host.name)}"),
        *("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"),
        *("--propagation", "private"),
        # -I: nothing of the caller's environment or folder is imported.
        *("/usr/bin/python3", "-I", str(HOST_INIT), str(spec_path)),
    ]
    with log.open("wb") as output:
        subprocess.run(
            argv,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=dict(CLEAN_ENV),
        )
    return log


def _spec(lab_dir: Path, record: LabRecord, host: HostRecord) -> dict[str, object]:
    """Return what host_init.py reads; its docstring gives the shape."""
    folder = host_disk.hosts_dir(lab_dir) / host.name
    root = folder / "root"
    root.mkdir(exist_ok=True)
    limited = host.disk_limit_mb is not None
    files = boot_files(record, host.name)
    accounts = host_disk.saved_accounts(lab_dir, host.name)
    return {
        "hostname": host.name,
        "root": str(root),
        "disk": str(host_disk.disk_dir(lab_dir, host.name)),
        "disk_image": str(host_disk.disk_image(lab_dir, host.name)) if limited else None,
        "persistent": list(PERSISTENT),
        "shared": str(lab_dir / "shared"),
        "masked": _masked([lab_dir, REPOSITORY]),
        "files": {path: [file.text, file.mode] for path, file in files.items()}
        | {path: [text, 0o644] for path, text in accounts.items()},
    }


def _masked(folders: Sequence[Path]) -> list[str]:
    """Return those folders that a host would see with the machine's software, for hiding them."""
    seen = (Path("/usr"), Path("/etc"), Path("/var"))
    resolved = [folder.resolve() for folder in folders]
    return [str(folder) for folder in resolved if any(folder.is_relative_to(top) for top in seen)]


def _tell_hosts_of_each_other(lab_dir: Path, record: LabRecord) -> None:
    for host in record.hosts:
        if host_init_pid(record.names.host_netns(host.name)) is not None:
            run(lab_dir, host.name, ["tee", "/etc/hosts"], stdin=etc_hosts(record))


def _status_of(record: LabRecord, host: HostRecord) -> HostStatus:
    netns, address = record.names.host_netns(host.name), record.names.mgmt_ip(host.number)
    pid = host_init_pid(netns)
    return HostStatus(
        name=host.name,
        mgmt_ip=address,
        netns=netns,
        pid=pid,
        libvirtd_answers=pid is not None and _libvirtd_answers(pid),
        sshd_answers=pid is not None and _sshd_answers(address),
    )


def _libvirtd_answers(pid: int) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            # /proc shows a host's files as its pid 1 sees them, so nothing need run inside.
            client.connect(f"/proc/{pid}/root/run/libvirt/libvirt-sock")
        except OSError:
            return False
    return True


def _sshd_answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as client:
            return client.recv(4) == b"SSH-"
    except OSError:
        return False


def _recorded_name(lab_dir: Path) -> str | None:
    try:
        record = load(lab_dir)
    except LabError:
        return None  # `down` is the way out of a record that can't be read
    return record.name if record else None


def _remove(lab: str) -> None:
    for netns in network.host_namespaces(lab):
        kill_netns(netns)
    network.fabric_down(lab)


def _purge(lab_dir: Path) -> None:
    host_disk.purge(lab_dir)
    key = operator_key(lab_dir)
    files = (record_path(lab_dir), known_hosts_path(lab_dir), inventory_path(lab_dir))
    for path in (*files, key, key.with_name(f"{key.name}.pub"), lab_dir / "lock"):
        path.unlink(missing_ok=True)
    if lab_dir.is_dir() and not any(lab_dir.iterdir()):
        lab_dir.rmdir()
