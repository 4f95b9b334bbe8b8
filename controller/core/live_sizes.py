"""Sizes that a server may be given while it runs: within limits that it was created with.

Our own extension (docs/extensions.md). The limits are extra specs of its flavor, of which a server
keeps a copy: what its domain was defined with can't grow afterwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from controller.core import quotas, server_locks
from controller.core.context import Context
from controller.core.operations import begin_action, check_allowed
from controller.db.models import Operation, Server
from controller.errors import BadRequest, Conflict
from controller.settings import Settings
from controller.states import ACTIVE

PREFIX = "novella:"
# Extra spec to the size that it limits.
SPECS = {"novella:max_vcpus": "vcpus", "novella:max_memory_mb": "memory_mb"}
# What QEMU's machines take, and what no guest starts with less than.
BOUNDS = {"vcpus": (1, 255), "memory_mb": (64, 1 << 24)}


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a server may have; None where its size is fixed."""

    vcpus: int | None
    memory_mb: int | None

    def of(self, size: str) -> int | None:
        return self.vcpus if size == "vcpus" else self.memory_mb


def limits_of(flavor: Mapping[str, Any]) -> Limits:
    """Return the limits of a flavor as a server keeps it."""
    specs = flavor.get("extra_specs") or {}
    found = {size: _number(specs.get(spec)) for spec, size in SPECS.items()}
    return Limits(**found)


def for_hosts(flavor: Mapping[str, Any]) -> dict[str, int]:
    """Return what a play is told of the limits: `max_vcpus` and `max_memory_mb`, where set.

    Never less than what the server has.
    """
    limits = limits_of(flavor)
    return {
        f"max_{size}": max(limit, int(flavor.get(size, 0)))
        for size in ("vcpus", "memory_mb")
        if (limit := limits.of(size)) is not None
    }


def check_specs(flavor: Mapping[str, int], specs: Mapping[str, Any]) -> None:
    """Refuse extra specs of ours that mean nothing, or less than `flavor` has (BadRequest)."""
    for key, value in specs.items():
        if not key.startswith(PREFIX):
            continue
        if key not in SPECS:
            raise BadRequest(f"Unknown extra spec {key!r}. There are: {', '.join(sorted(SPECS))}.")
        size = SPECS[key]
        least, most = flavor[size], BOUNDS[size][1]
        number = _number(value)
        if number is None or not least <= number <= most:
            raise BadRequest(
                f"Invalid extra spec {key}={value!r}: it is a number from {least}, what the flavor "
                f"has, to {most}."
            )


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def resize(
    session: Session,
    settings: Settings,
    context: Context,
    server: Server,
    *,
    vcpus: int | None,
    memory_mb: int | None,
) -> Operation:
    """Accept other sizes for the server, which runs on meanwhile. Its row must be locked.

    Raises Conflict beyond its limits, QuotaExceeded, InvalidState as the state table has it.
    """
    server_locks.check(context, server)
    check_allowed(server, "live_resize")
    asked = {"vcpus": vcpus, "memory_mb": memory_mb}
    sizes = {name: each for name, each in asked.items() if each is not None}
    for name, each in sizes.items():
        _check(server, name, each)
    wanted = {**server.flavor, **sizes}
    quotas.admit_resize(session, settings, server.project_id, server.flavor, wanted)
    return begin_action(
        session, settings, context, server, "live_resize",
        record_as="novella:live_resize", arguments={"old": server.flavor, "new": wanted},
    )  # fmt: skip


def _check(server: Server, name: str, wanted: int) -> None:
    limit = limits_of(server.flavor).of(name)
    what = {"vcpus": "number of vCPUs", "memory_mb": "memory in MiB"}[name]
    least = BOUNDS[name][0]
    if name == "memory_mb":
        least = max(least, int(server.image.get("min_memory_mb") or 0))
    if limit is None:
        raise Conflict(
            f"Cannot change the {what} of server {server.id} while it is there: its flavor "
            f"{server.flavor.get('name')} had no extra spec novella:max_{name} when it was made. "
            "Resize it to a flavor that has one."
        )
    if name == "vcpus" and server.state == ACTIVE and wanted < int(server.flavor["vcpus"]):
        raise Conflict(
            f"Cannot take vCPUs from server {server.id} while it runs: few guests let go of one. "
            "Stop it first."
        )
    if not least <= wanted <= limit:
        raise Conflict(
            f"Cannot give server {server.id} {wanted} as its {what}: its limits are {least} to "
            f"{limit}. Ask for something between them, or resize it to another flavor."
        )
