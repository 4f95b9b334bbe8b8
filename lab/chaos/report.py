"""The report of a run: counts, how requests ended, and how soon work went on after each kill."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.chaos.kills import Kill
from lab.chaos.stream import DONE, LOST, WRONG, Asked


@dataclass(frozen=True, slots=True)
class Report:
    """`busy` are servers still in a task state at the end; `audit` is what `novella audit` said."""

    seed: int
    seconds: float
    asked: Sequence[Asked]
    kills: Sequence[Kill]
    refused: int
    away: int
    busy: Sequence[str]
    audit: dict[str, Any]

    @property
    def bad(self) -> list[Asked]:
        """Requests that were lost, or ended in something that nobody asked for."""
        return [each for each in self.asked if each.outcome in (LOST, WRONG, "")]

    @property
    def passed(self) -> bool:
        return not self.bad and not self.busy and bool(self.audit.get("agrees"))

    def recoveries(self) -> dict[str, list[float]]:
        """Return, by kind of kill, the seconds until a request ended as it was asked.

        For hosts it counts from when their power is back, and what was done on them.
        """
        found: dict[str, list[float]] = {}
        for kill in self.kills:
            since = kill.back_at if kill.kind == "host" else kill.at
            ends = [
                each.ended_at - since
                for each in self.asked
                if each.outcome == DONE
                and each.ended_at > since
                and (kill.kind != "host" or each.host in (None, kill.target))
            ]
            if ends:
                found.setdefault(kill.kind, []).append(min(ends))
        return found

    def as_json(self) -> dict[str, Any]:
        outcomes = Counter(each.outcome or LOST for each in self.asked)
        return {
            "passed": self.passed,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "operations": len(self.asked),
            "outcomes": dict(outcomes),
            "by_action": {
                action: dict(Counter(e.outcome for e in self.asked if e.action == action))
                for action in sorted({each.action for each in self.asked})
            },
            "refused": self.refused,
            "api_away": self.away,
            "kills": dict(Counter(kill.kind for kill in self.kills)),
            "recovery_s": {
                kind: {
                    "count": len(times),
                    "p50": round(statistics.median(times), 2),
                    "max": round(max(times), 2),
                }
                for kind, times in sorted(self.recoveries().items())
            },
            "errors": sorted({each.detail for each in self.asked if each.outcome == "error"}),
            "bad": [each.as_json() for each in self.bad],
            "busy_at_the_end": list(self.busy),
            "audit": self.audit,
        }

    def write(self, folder: Path) -> None:
        """Write report.json and report.txt."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(self.as_json(), indent=1) + "\n")
        (folder / "report.txt").write_text(self.as_text())

    def as_text(self) -> str:
        told = self.as_json()
        lines = [
            f"chaos: {'passed' if self.passed else 'FAILED'}; seed {self.seed}, "
            f"{told['seconds']} s, {told['operations']} operations, {len(self.kills)} kills",
            f"  ended: {_counts(told['outcomes'])}; refused {self.refused}; "
            f"API away {self.away} times",
            *(
                f"  {action:<12} {_counts(told['by_action'][action])}"
                for action in told["by_action"]
            ),
            f"  {'killed':<12} {'times':>6} {'p50 s':>8} {'max s':>8}   until work goes on",
        ]
        for kind, count in sorted(told["kills"].items()):
            times = told["recovery_s"].get(kind, {"p50": "-", "max": "-"})
            lines.append(f"  {kind:<12} {count:>6} {times['p50']:>8} {times['max']:>8}")
        lines += [f"  BAD: {each.action} {each.server_id}: {each.detail}" for each in self.bad]
        lines += [f"  BUSY: {each}" for each in self.busy]
        lines += [f"  AUDIT: {each['what']}" for each in self.audit.get("findings", [])]
        if not self.audit.get("findings"):
            lines.append("  audit: all agree" if self.audit.get("agrees") else "  audit: no answer")
        return "\n".join(lines) + "\n"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name or LOST} {count}" for name, count in sorted(counts.items()))
