"""Artifacts go after a time; their number is bounded by each run that adds some."""

from controller.runner import artifacts
from controller.settings import Settings

EVERY_S = 3600.0
_DAY_S = 86400


def run(settings: Settings) -> int:
    """Remove what had its last run `artifacts_days` ago; return of how many operations."""
    return artifacts.prune_by_age(settings.artifacts_dir, settings.artifacts_days * _DAY_S)
