"""Make the collection importable as `ansible_collections.novella.cloud` without installing it."""

import sys
from pathlib import Path

COLLECTIONS = str(Path(__file__).resolve().parents[3] / "collections")

if COLLECTIONS not in sys.path:
    sys.path.insert(0, COLLECTIONS)
