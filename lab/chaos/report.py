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
    """`busy` are servers still in a task state at the end; `audit` is what `novella audit` said.

    `silent` says where a controller did not answer though another one was killed;
    `answered_meanwhile` is how often one did.
    """

    seed: int
    seconds: float
    asked: Sequence[Asked]
    kills: Sequence[Kill]
    refused: int
    away: int
    busy: Sequence[str]
    audit: dict[str, Any]
    # Of each process at the end, in MB (PSS), by its name.
    memory_mb: dict[str, list[float]]
    # What the cloud stood on: the kinds of its database and its queue.
    database: str
    queue: str
    controllers: int
    silent: Sequence[str]
    answered_meanwhile: int
    # Kinds that were to be killed, and were not: too few kills, or nothing of that kind was found.
    spared: Sequence[str]

    @property
    def bad(self) -> list[Asked]:
        """Requests that were lost, or ended in something that nobody asked for."""
        return [each for each in self.asked if each.outcome in (LOST, WRONG, "")]

    @property
    def passed(self) -> bool:
        ended_well = not self.bad and not self.busy and not self.silent and not self.spared
        return ended_well and bool(self.audit.get("agrees"))

    def until_work(self) -> dict[str, list[float]]:
        """Return, by kind of kill, the seconds until work went on.

        That is until the end of the first request that was accepted after the kill (for what
        lasts, as a host without power or a full disk: after it was over) and ended as it was asked;
        of a host's, one on that host.
        """
        found: dict[str, list[float]] = {}
        for kill in self.kills:
            ends = [
                each.ended_at - kill.over_at
                for each in self.asked
                if each.outcome == DONE
                and each.accepted_at > kill.over_at
                and (kill.kind not in ("host", "disk") or each.host == kill.target)
            ]
            if ends:
                found.setdefault(kill.kind, []).append(min(ends))
        return found

    def until_answer(self) -> dict[str, list[float]]:
        """Return, by kind of kill, the seconds until what was killed answered again."""
        found: dict[str, list[float]] = {}
        for kill in self.kills:
            if kill.back_at is not None:
                found.setdefault(kill.kind, []).append(kill.back_at - kill.over_at)
        return found

    def as_json(self) -> dict[str, Any]:
        outcomes = Counter(each.outcome or LOST for each in self.asked)
        return {
            "passed": self.passed,
            "seed": self.seed,
            "database": self.database,
            "queue": self.queue,
            "controllers": self.controllers,
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
            "until_work_s": _spreads(self.until_work()),
            "until_answer_s": _spreads(self.until_answer()),
            "memory_mb": self.memory_mb,
            "errors": sorted({each.detail for each in self.asked if each.outcome == "error"}),
            "bad": [each.as_json() for each in self.bad],
            "busy_at_the_end": list(self.busy),
            "silent": list(self.silent),
            "answered_meanwhile": self.answered_meanwhile,
            "spared": list(self.spared),
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
            f"{self.database}, {self.queue} queue, {self.controllers} controllers, "
            f"{told['seconds']} s, {told['operations']} operations, {len(self.kills)} kills",
            f"  ended: {_counts(told['outcomes'])}; refused {self.refused}; "
            f"API away {self.away} times",
            *(
                f"  {action:<12} {_counts(told['by_action'][action])}"
                for action in told["by_action"]
            ),
            f"  {'killed':<20} {'times':>6} {'answers s: p50':>15} {'max':>8}"
            f" {'work goes on s: p50':>20} {'max':>8}",
        ]
        for kind, count in sorted(told["kills"].items()):
            answer = told["until_answer_s"].get(kind, {"p50": "-", "max": "-"})
            work = told["until_work_s"].get(kind, {"p50": "-", "max": "-"})
            lines.append(
                f"  {kind:<20} {count:>6} {answer['p50']:>15} {answer['max']:>8}"
                f" {work['p50']:>20} {work['max']:>8}"
            )
        if self.spared:
            lines.append(f"  never killed: {', '.join(self.spared)}")
        weights = (f"{name} {' + '.join(map(str, each))}" for name, each in self.memory_mb.items())
        lines.append(f"  memory at the end, MB (PSS): {'; '.join(weights)}")
        lines += [f"  BAD: {each.action} {each.server_id}: {each.detail}" for each in self.bad]
        lines += [f"  BUSY: {each}" for each in self.busy]
        if self.controllers > 1:
            count = self.answered_meanwhile
            lines.append(f"  one controller answered {count} times while the other was away")
        lines += [f"  SILENT: {each}" for each in self.silent]
        lines += [f"  AUDIT: {each['what']}" for each in self.audit.get("findings", [])]
        if not self.audit.get("findings"):
            lines.append("  audit: all agree" if self.audit.get("agrees") else "  audit: no answer")
        return "\n".join(lines) + "\n"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name or LOST} {count}" for name, count in sorted(counts.items()))


def _spreads(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    return {
        kind: {
            "count": len(each),
            "p50": round(statistics.median(each), 2),
            "max": round(max(each), 2),
        }
        for kind, each in sorted(times.items())
    }
