"""Figures of a run: their spread, a table for people and JSON for the next comparison."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True)
class Figure:
    """One measured thing: `values` in `unit`, one per round; `aim` is what it is held against."""

    name: str
    unit: str
    values: Sequence[float]
    aim: str = ""

    @property
    def p50(self) -> float:
        return statistics.median(self.values)

    @property
    def p95(self) -> float:
        return self._at(0.95)

    @property
    def p99(self) -> float:
        return self._at(0.99)

    def _at(self, share: float) -> float:
        ordered = sorted(self.values)
        return ordered[round(share * (len(ordered) - 1))]


@dataclass
class Report:
    """The figures of one run, with the conditions that they were taken under."""

    name: str
    figures: list[Figure] = field(default_factory=list)

    def add(self, name: str, unit: str, values: Sequence[float], aim: str = "") -> Figure:
        figure = Figure(name, unit, list(values), aim)
        self.figures.append(figure)
        print(_row(figure), flush=True)
        return figure

    def write(self) -> Path:
        """Write JSON and a table under bench/results; return the JSON's path."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        head = json.dumps(circumstances(), indent=1).removesuffix("\n}")
        # A line for each figure: some have thousands of values.
        figures = ",\n".join(f"  {_json(figure)}" for figure in self.figures)
        path.write_text(f'{head},\n "figures": [\n{figures}\n ]\n}}\n')
        table = "| figure | p50 | p95 | p99 | min | max | n | unit | aim |\n" + "|---" * 9 + "|\n"
        for figure in self.figures:
            table += (
                f"| {figure.name} | {figure.p50:.3g} | {figure.p95:.3g} | {figure.p99:.3g} "
                f"| {min(figure.values):.3g} | {max(figure.values):.3g} | {len(figure.values)} "
                f"| {figure.unit} | {figure.aim} |\n"
            )
        path.with_suffix(".md").write_text(table)
        return path


def circumstances() -> dict[str, Any]:
    """Return when, of which commit and on what machine figures are taken."""
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "conditions": {
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "load_average": os.getloadavg(),
        },
    }


def _json(figure: Figure) -> str:
    spread = {"p50": figure.p50, "p95": figure.p95, "p99": figure.p99}
    values = [float(f"{value:.5g}") for value in figure.values]
    return json.dumps(asdict(figure) | {"values": values} | spread)


def _row(figure: Figure) -> str:
    return (
        f"{figure.name:<58} p50 {figure.p50:9.3f} {figure.unit:<4} p99 {figure.p99:9.3f} "
        f"({min(figure.values):.3f} to {max(figure.values):.3f}, n={len(figure.values)})"
        + (f"  aim: {figure.aim}" if figure.aim else "")
    )


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
