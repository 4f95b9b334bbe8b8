"""`<lab_dir>/lab.json`: what a lab is made of. What runs is asked of the kernel, not kept here."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.naming import FIRST_HOST_NUMBER, LabNames

FORMAT = 1
LAST_HOST_NUMBER = 199


@dataclass(frozen=True)
class HostRecord:
    """A host of the lab. `disk_limit_mb` is the size of its /var/lib/novella; None is no limit."""

    name: str
    number: int
    disk_limit_mb: int | None = None


@dataclass(frozen=True)
class LabRecord:
    """A lab: its name, its index (see LabNames) and its hosts by order of their making."""

    name: str
    index: int
    hosts: tuple[HostRecord, ...] = field(default=())

    @property
    def names(self) -> LabNames:
        """Names and addresses of this lab."""
        return LabNames(self.name, self.index)

    def host(self, name: str) -> HostRecord:
        """Return the host called `name`; raise LabError that lists those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts) or "none"
        raise LabError(f"Lab {self.name} has no host {name!r}; it has: {known}.")

    def with_host(self, name: str, disk_limit_mb: int | None) -> "LabRecord":
        """Return this record with a host called `name`; one that is there keeps its number.

        A `disk_limit_mb` of None keeps the limit that the host has.
        """
        hosts = {host.name: host for host in self.hosts}
        if name in hosts:
            if disk_limit_mb is not None:
                hosts[name] = replace(hosts[name], disk_limit_mb=disk_limit_mb)
        else:
            hosts[name] = HostRecord(name, self._free_number(), disk_limit_mb)
        return replace(self, hosts=tuple(hosts.values()))

    def _free_number(self) -> int:
        taken = {host.number for host in self.hosts}
        for number in range(FIRST_HOST_NUMBER, LAST_HOST_NUMBER + 1):
            if number not in taken:
                return number
        raise LabError(f"Lab {self.name} is full: it has {len(taken)} hosts.")


def record_path(lab_dir: Path) -> Path:
    """Return where a lab's record is."""
    return lab_dir / "lab.json"


def load(lab_dir: Path) -> LabRecord | None:
    """Return the record of the lab in `lab_dir`, or None when there is none.

    Raises LabError when the file is there and can't be understood.
    """
    path = record_path(lab_dir)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise LabError(f"{path} has format {data['format']}; this lab knows {FORMAT} only.")
        hosts = tuple(
            HostRecord(str(h["name"]), int(h["number"]), h["disk_limit_mb"]) for h in data["hosts"]
        )
        return LabRecord(str(data["name"]), int(data["index"]), hosts)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"Cannot read {path}: {error!r}. Take the lab down by its name "
            "(`python -m lab down --name NAME --purge`), then up again."
        ) from error


def load_existing(lab_dir: Path) -> LabRecord:
    """Return the record of the lab in `lab_dir`; raise LabError when there is none."""
    record = load(lab_dir)
    if record is None:
        raise LabError(f"There is no lab in {lab_dir}. Make one with `python -m lab up`.")
    return record


def save(lab_dir: Path, record: LabRecord) -> None:
    """Write the record, in one move, with the addresses that follow from it for other readers."""
    lab_dir.mkdir(parents=True, exist_ok=True)
    path = record_path(lab_dir)
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(dict(_fields(record)), indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _fields(record: LabRecord) -> Iterator[tuple[str, Any]]:
    names = record.names
    yield "format", FORMAT
    yield "name", record.name
    yield "index", record.index
    yield "mgmt_cidr", f"{names.mgmt_prefix}.0/24"
    yield "external_cidr", f"{names.external_prefix}.0/24"
    yield "external_gateway", names.external_gateway
    yield "root_mgmt_ip", names.mgmt_root_ip
    yield "root_external_ip", names.external_root_ip
    yield (
        "hosts",
        [
            {
                **asdict(host),
                "mgmt_ip": names.mgmt_ip(host.number),
                "netns": names.host_netns(host.name),
            }
            for host in record.hosts
        ],
    )
