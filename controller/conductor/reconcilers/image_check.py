"""Base images on hosts are read at an interval; damaged ones are fetched anew, or reported.

The host itself removes a damaged one that no disk stands on; we have it sent again. One in use is
only reported: its guest has read from it, and nothing here may take it away.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from controller.conductor.reconcilers import each_host
from controller.core import image_prefetch
from controller.db.models import Host, Image
from controller.db.session import Database
from controller.runner.requests import OK, Executor, HostResult
from controller.settings import Settings

log = logging.getLogger(__name__)

PLAYBOOK = "image_verify"
# Some hundred gigabytes are read in less.
TIMEOUT_S = 3600
# After which another worker no longer waits for the end of a round.
LONGEST_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a host found: names of bases, with those of our images that they are of."""

    checked: int
    removed: dict[str, str | None]
    damaged: dict[str, str | None]
    problem: str = ""


def run(
    settings: Settings,
    db: Database,
    executor: Executor,
    clock: Callable[[], datetime],
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Have the hosts that are up look at their bases, and return how many did it."""

    def check(host: Host) -> bool:
        return not check_host(settings, db, executor, host, stopping).problem

    with db.read() as session:
        known = each_host.that_are_up(session, settings, clock())
    return each_host.count(known, check, stopping)


def check_host(
    settings: Settings,
    db: Database,
    executor: Executor,
    host: Host,
    stopping: Callable[[], bool] = lambda: False,
) -> Found:
    """Have the host look at its bases, what it removed sent again, and return what it found.

    `problem` says why it could not look.
    """
    result = each_host.play(settings, executor, host, PLAYBOOK, {}, TIMEOUT_S, stopping)
    if result.status != OK:
        log.warning("the base images of host %s are not checked: %s", host.name, result.message)
        return Found(0, {}, {}, result.message or result.status)
    return _take_in(db, host, result)


def _take_in(db: Database, host: Host, result: HostResult) -> Found:
    """Have removed bases fetched again, and say which damaged ones are left. A host may say
    anything: only bases of images that we have are sent.
    """
    removed, damaged = _names(result.facts, "removed"), _names(result.facts, "damaged")
    checked = result.facts.get("checked")
    if not removed and not damaged:
        return Found(checked if isinstance(checked, int) else 0, {}, {})
    with db.write() as session:
        query = select(Image.id).where(Image.status == "active", Image.deleted_at.is_(None))
        image_of = {_base_name(image_id): image_id for image_id in session.scalars(query)}
        for name in sorted(damaged):
            log.error(
                "base image %s (%s) on host %s is damaged, and disks stand on it: rebuild or "
                "replace their servers, then it is fetched anew",
                name, _said(image_of, name), host.name,
            )  # fmt: skip
        for name in sorted(removed):
            log.warning(
                "base image %s (%s) on host %s was damaged and is fetched anew",
                name, _said(image_of, name), host.name,
            )  # fmt: skip
        context = image_prefetch.own_context()
        for image_id in sorted({image_of[name] for name in removed if name in image_of}):
            image_prefetch.submit(session, context, image_id, [host])
    return Found(
        checked if isinstance(checked, int) else 0,
        {name: image_of.get(name) for name in sorted(removed)},
        {name: image_of.get(name) for name in sorted(damaged)},
    )


def _names(facts: Mapping[str, Any], kind: str) -> Collection[str]:
    said = facts.get(kind)
    return {name[:64] for name in said if isinstance(name, str)} if isinstance(said, list) else ()


def _base_name(image_id: str) -> str:
    """Return what hosts call the base of an image; plugins/module_utils/names.py has the same."""
    return hashlib.sha1(image_id.encode(), usedforsecurity=False).hexdigest()


def _said(image_of: Mapping[str, str], name: str) -> str:
    return f"image {image_of[name]}" if name in image_of else "no image that is active"
