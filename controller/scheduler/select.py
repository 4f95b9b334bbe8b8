"""Select: the hosts that can take a request, best first.

Follows the filter scheduler of OpenStack Nova: room by placement, then filters, then weights.
"""

import importlib
import pkgutil
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session

from controller.db.models import Host, ResourceProvider
from controller.errors import BadRequest
from controller.placement import candidates as placement
from controller.scheduler import filters, weighers
from controller.scheduler.spec import Candidate, RequestSpec, Selection
from controller.settings import Settings

# What placement and earlier tries reject, counted beside the filters that settings name.
NO_ROOM, TRIED = "Resources", "AlreadyTried"


def select(session: Session, settings: Settings, spec: RequestSpec) -> Selection:
    """Return the hosts that can take `spec`, best first, and each filter's count of rejected ones.

    No candidate is no error here: the caller tells tenants and operators. Ties break by host id,
    so that the order is the same wherever it is asked. Raises BadRequest for an unknown filter or
    weigher in the settings.
    """
    fitting = _with_room(session, spec)
    rejected: dict[str, int] = {NO_ROOM: placement.count_providers(session) - len(fitting)}
    left = [each for each in fitting if each.host.id not in spec.tried]
    rejected[TRIED] = len(fitting) - len(left)
    for name in settings.scheduler_filters:
        chosen = _load(filters, name)
        passing = [each for each in left if chosen.passes(each, spec)]
        rejected[name] = len(left) - len(passing)
        left = passing
    return Selection(_by_weight(settings.scheduler_weighers, left), rejected)


def _with_room(session: Session, spec: RequestSpec) -> list[Candidate]:
    query = _hosts_with_room(placement.shape(spec.resources))
    rows = session.execute(query, placement.amounts(spec.resources))
    return [Candidate(row._mapping[Host], placement.room(row, spec.resources)) for row in rows]


@cache
def _hosts_with_room(wanted: placement.Shape) -> Select[Any]:
    query = placement.fitting(wanted)
    return query.join(Host, Host.id == ResourceProvider.id).add_columns(Host)


def _by_weight(names: Sequence[str], left: list[Candidate]) -> list[Candidate]:
    totals = dict.fromkeys((each.host.id for each in left), 0.0)
    for name in names:
        weigher = _load(weighers, name)
        weights = [weigher.weigh(each) for each in left]
        low, spread = (
            min(weights, default=0.0),
            max(weights, default=0.0) - min(weights, default=0.0),
        )
        for each, weight in zip(left, weights, strict=True):
            totals[each.host.id] += (weight - low) / spread if spread else 0.0
    return sorted(left, key=lambda each: (-totals[each.host.id], each.host.id))


@cache
def _load(package: Any, name: str) -> Any:
    """Return the instance of the class `name` of the package: AvailabilityZone is in
    availability_zone.py. It keeps nothing of a request.
    """
    module_name = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    known = [module.name for module in pkgutil.iter_modules(package.__path__)]
    if module_name not in known:
        kind = package.__name__.rpartition(".")[2]
        raise BadRequest(
            f"Unknown name '{name}' in the setting scheduler_{kind}. There are: "
            f"{', '.join(''.join(part.title() for part in each.split('_')) for each in known)}."
        )
    module = importlib.import_module(f"{package.__name__}.{module_name}")
    return getattr(module, name)()
