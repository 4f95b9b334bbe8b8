"""What hosts say, as text that every database and every JSON reader takes."""

import math
import re
from typing import Any

# NUL, and halves of pairs: what Python makes of bytes that are no UTF-8, in programs' output too.
_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")
# Results of modules are flat; what goes deeper is left out.
DEPTH_MAX = 32


def keepable(value: Any, depth: int = 0) -> Any:
    """Return `value`, of JSON's kinds, with every text and number in it such that it can be kept.

    A text that can't would fail the transaction that takes the result in, and again at each try:
    the operation would never end.
    """
    if isinstance(value, str):
        return _UNKEEPABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | dict) and depth >= DEPTH_MAX:
        return None
    if isinstance(value, list):
        return [keepable(each, depth + 1) for each in value]
    if isinstance(value, dict):
        return {keepable(str(key)): keepable(each, depth + 1) for key, each in value.items()}
    return value
