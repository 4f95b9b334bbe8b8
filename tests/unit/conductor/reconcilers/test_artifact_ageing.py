"""Artifacts that are old go, the others stay."""

import os
import time
from pathlib import Path

from controller.conductor.reconcilers import artifact_ageing
from controller.settings import Settings


def test_artifacts_go_after_their_days(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, artifacts_days=2)
    assert artifact_ageing.run(settings) == 0
    for name, days in (("old", 2.1), ("young", 1.9)):
        folder = settings.artifacts_dir / name / "001-server_create"
        folder.mkdir(parents=True)
        then = time.time() - days * 86400
        os.utime(folder.parent, (then, then))
    assert artifact_ageing.run(settings) == 1
    assert [path.name for path in settings.artifacts_dir.iterdir()] == ["young"]
