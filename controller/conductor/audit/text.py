"""An audit as text for a terminal."""

from itertools import groupby

from controller.conductor.audit.findings import Finding
from controller.conductor.audit.looks import Audit
from controller.logs import one_line


def as_text(audit: Audit) -> str:
    """Return each disagreement with its place, why it matters and the way out; then a summary."""
    lines: list[str] = []
    ordered = sorted(audit.findings, key=lambda each: (each.kind, each.host or "", each.subject))
    for _, group in groupby(ordered, key=lambda each: each.kind):
        lines += _of_kind(list(group))
    seen = f"{audit.servers} servers, {audit.hosts} hosts"
    if audit.in_motion:
        seen += f"; {audit.in_motion} differences of what is being worked on left out"
    if audit.agrees:
        return f"All agree ({seen})."
    return "\n".join([*lines, f"{len(audit.findings)} disagreements ({seen})."])


def _of_kind(findings: list[Finding]) -> list[str]:
    first = findings[0]
    lines = [f"{first.kind} ({len(findings)})"]
    # Part of it are hosts' own words, and this goes to a terminal.
    lines += [f"  - {one_line(finding.what)}" for finding in findings]
    return [*lines, f"  why: {first.why}", f"  way out: {first.way_out}", ""]
