"""Keep what chaos reported: `python -m bench.chaos REPORT...` writes bench/results/chaos.{json,md}.

Each REPORT is the report.json of one `make chaos`. With `--add` those that are kept already stay.
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.report import RESULTS, circumstances

# What a summary keeps of a report; the rest is for whoever looks into one run.
KEPT = (
    "passed", "controllers", "database", "queue", "seed", "seconds", "operations", "outcomes",
    "by_action", "refused", "api_away", "kills", "until_answer_s", "until_work_s", "memory_mb",
    "bad", "busy_at_the_end", "silent", "answered_meanwhile", "spared", "audit",
)  # fmt: skip
EXPLAINED = """\
Seconds from each kill; of what lasts (a host without power, a full disk, a server that is started
again) from its end. *Answers*: until what was killed answers; the controller and the database by
`/readyz`. *Work goes on*: until the end of the first request that was accepted after it and ended
as it was asked, for a host or its disk one on that host; the next kills come meanwhile. An *error*
is a clean one, that the user is told of. *restart* is no kill: a controller is stopped in peace and
started again. Of two controllers, one at a time is hit; the other's API is asked all the while.
"""
# What runs kept before lack: there was one controller, and no fork server was ever killed.
EARLIER = {"controllers": 1, "silent": [], "answered_meanwhile": 0, "spared": ["fork-server"]}
NOTHING = {"p50": "-", "max": "-"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("reports", nargs="+", type=Path, metavar="REPORT")
    parser.add_argument("--add", action="store_true", help="beside the runs that are kept already")
    parser.add_argument("--note", default="", help="what else is to be known of the runs")
    arguments = parser.parse_args()
    kept = json.loads((RESULTS / "chaos.json").read_text()) if arguments.add else {"runs": []}
    runs = [EARLIER | run for run in kept["runs"]] + [_kept(path) for path in arguments.reports]
    note = " ".join(each for each in (kept.get("note", ""), arguments.note) if each)
    content = circumstances() | {"note": note, "runs": runs}
    (RESULTS / "chaos.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "chaos.md").write_text(
        "\n".join([EXPLAINED, f"{note}\n", *(_table(run) for run in runs)])
    )
    print(f"written: {RESULTS / 'chaos.json'}")
    return 0


def _kept(path: Path) -> dict[str, Any]:
    told = json.loads(path.read_text())
    ended_at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return {"ended_at": ended_at} | {name: told[name] for name in KEPT}


def _table(run: dict[str, Any]) -> str:
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(run["outcomes"].items()))
    lost = sum(run["outcomes"].get(name, 0) for name in ("lost", "wrong"))
    audit = "all agree" if run["audit"].get("agrees") else f"{run['audit'].get('findings')}"
    weights = "; ".join(
        f"{name} {' + '.join(map(str, each))}" for name, each in run["memory_mb"].items()
    )
    rows = [
        f"| {kind} | {count} | {answer['p50']} | {answer['max']} | {work['p50']} | {work['max']} |"
        for kind, count in sorted(run["kills"].items())
        for answer in [run["until_answer_s"].get(kind, NOTHING)]
        for work in [run["until_work_s"].get(kind, NOTHING)]
    ]
    return "\n".join(
        [
            f"## {run['controllers']} controller{'s' if run['controllers'] > 1 else ''}, "
            f"{run['database']}, {run['queue']} queue",
            "",
            f"{'Passed' if run['passed'] else 'FAILED'}: {run['operations']} operations "
            f"({outcomes}; lost or wrong: {lost}), {sum(run['kills'].values())} kills in "
            f"{run['seconds']} s, seed {run['seed']}. Busy at the end: "
            f"{len(run['busy_at_the_end'])}; audit: {audit}.{_meanwhile(run)}",
            "",
            "| killed | times | answers, p50 s | max s | work goes on, p50 s | max s |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"Memory of each process at the end, MB (PSS): {weights}.",
            "",
        ]
    )


def _meanwhile(run: dict[str, Any]) -> str:
    """Say how the other controller answered while one was away, and what was never killed."""
    said = ""
    if run["controllers"] > 1:
        silent = len(run["silent"])
        asked = run["answered_meanwhile"] + silent
        said = f" While a controller was away, the other one was asked {asked} times; "
        said += f"unanswered: {silent}."
    return said + (f" Never killed: {', '.join(run['spared'])}." if run["spared"] else "")


if __name__ == "__main__":
    raise SystemExit(main())
