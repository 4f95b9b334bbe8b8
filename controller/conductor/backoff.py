"""How long to wait before something that failed is tried again."""

LONGEST_S = 3600.0


def delay_s(first_s: float, attempts: int) -> float:
    """Return the wait before try number `attempts` + 1: `first_s`, doubled each time, an hour at
    most.
    """
    return float(min(first_s * 2 ** min(max(attempts - 1, 0), 16), LONGEST_S))
