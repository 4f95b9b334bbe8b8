"""Run a list of steps for one item: what `apply` does for each server, under its lock.

A step is {"name", "module", "args"}, or {"name", "module", "skipped": true}. It runs only a module
of `MODULES`, with arguments that passed that module's own argument spec.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import importlib
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from . import work

if TYPE_CHECKING:
    # AnsiballZ finds by these lines what the archive must hold. At run time a module's work is
    # imported when a step needs it, as each import is time on the fast path.
    from . import (  # noqa: F401
        config_drive,
        dhcp_host,
        disk_renewal,
        disk_snapshot,
        domain_mark,
        domain_size,
        external_namespace,
        guest_interrupt,
        guest_metadata,
        guest_password,
        instance_directory,
        internal_snapshot,
        libvirt_domain,
        linux_bridge,
        move_credentials,
        moved_directory,
        network_namespace,
        port_filter,
        pulled_directory,
        qcow2_disk,
        router_namespace,
        saved_definition,
        unused_networks,
        unused_routers,
        vlan,
        vxlan,
    )

MODULES = (
    "config_drive",
    "dhcp_host",
    "disk_renewal",
    "disk_snapshot",
    "domain_mark",
    "domain_size",
    "external_namespace",
    "guest_interrupt",
    "guest_metadata",
    "guest_password",
    "instance_directory",
    "internal_snapshot",
    "libvirt_domain",
    "linux_bridge",
    "move_credentials",
    "moved_directory",
    "network_namespace",
    "port_filter",
    "pulled_directory",
    "qcow2_disk",
    "router_namespace",
    "saved_definition",
    "unused_networks",
    "unused_routers",
    "vlan",
    "vxlan",
)

# Short secrets are left alone when a result is cleaned: blanking out every "a" would hide nothing
# and destroy the result.
MIN_SECRET_LENGTH = 4
HIDDEN = "(hidden)"


def load(module: str) -> Any:
    """Return the work module (ARGUMENT_SPEC, SPEC_RULES, run) behind a step's module name."""
    short = module.rpartition(".")[2]
    if short not in MODULES:
        raise work.WorkError(
            f"Step module {module!r} is not one that apply runs. It runs: {', '.join(MODULES)}."
        )
    try:
        return importlib.import_module(f".{short}", __package__)
    except ImportError as error:
        raise work.WorkError(
            f"Cannot load step module {module!r} on this host: {error}."
        ) from error


def resolve_secrets(value: Any, marker: str, secrets: dict[str, Any]) -> Any:
    """Return `value` with each reference {marker: name} replaced by the secret of that name.

    The marker is random for each task, so a tenant's text can't be taken for a reference.
    """
    if isinstance(value, dict):
        if len(value) == 1 and marker in value:
            if value[marker] not in secrets:
                raise work.WorkError(f"There is no secret {value[marker]!r} for this item.")
            return secrets[value[marker]]
        return {key: resolve_secrets(part, marker, secrets) for key, part in value.items()}
    if isinstance(value, list):
        return [resolve_secrets(part, marker, secrets) for part in value]
    return value


def validated(step: dict[str, Any], marker: str, secrets: dict[str, Any]) -> dict[str, Any]:
    """Return the step's parameters by its module's own spec, defaults filled in.

    Raises WorkError naming the wrong argument and what is allowed, or the missing secret.
    """
    noun = load(step["module"])
    rules = getattr(noun, "SPEC_RULES", None) or {}
    validator = ArgumentSpecValidator(noun.ARGUMENT_SPEC, **rules)
    outcome = validator.validate(resolve_secrets(step.get("args") or {}, marker, secrets))
    if outcome.error_messages:
        raise work.WorkError(f"Step '{step['name']}' was refused: {outcome.error_messages[0]}")
    parameters: dict[str, Any] = outcome.validated_parameters
    return parameters


def secret_texts(secrets: dict[str, Any]) -> list[str]:
    """Return the texts that must not appear in a result: each secret, and what it decodes to."""
    found = []
    for value in secrets.values():
        if isinstance(value, dict):
            found += secret_texts(value)
        elif isinstance(value, str) and len(value) >= MIN_SECRET_LENGTH:
            found += [value, *_decoded(value)]
    # The longest first, so that no tail of a secret is left by a shorter one inside it.
    return sorted(set(found), key=len, reverse=True)


def _decoded(value: str) -> list[str]:
    try:
        text = base64.b64decode(value, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return []
    return [text] if len(text) >= MIN_SECRET_LENGTH else []


def cleaned(value: Any, hidden: list[str]) -> Any:
    """Return `value` with each text of `hidden` blanked out, wherever it stands."""
    if not hidden:
        return value
    if isinstance(value, str):
        for text in hidden:
            value = value.replace(text, HIDDEN)
        return value
    if isinstance(value, dict):
        return {cleaned(key, hidden): cleaned(part, hidden) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [cleaned(part, hidden) for part in value]
    return value


def run_all(
    steps: list[dict[str, Any]],
    marker: str,
    secrets: dict[str, Any],
    check_mode: bool,
    before_step: Callable[[], None],
    undo_on_failure: bool,
) -> dict[str, Any]:
    """Run an item's steps in order; return {"changed", "failed", "msg", "steps", ...}.

    Every step is validated before the first one runs. `before_step` raises to stop the item (the
    fence). After a failure nothing more runs; with `undo_on_failure`, what this run made is taken
    back in reverse. The details of the failing step (`missing_base`) stand beside `msg`.
    """
    hidden = secret_texts(secrets)
    reports: list[dict[str, Any]] = []
    undo: list[tuple[str, dict[str, Any]]] = []
    outcome: dict[str, Any] = {"changed": False, "failed": False, "msg": "", "steps": reports}
    try:
        ready = [
            None if step.get("skipped") else validated(step, marker, secrets) for step in steps
        ]
    except work.WorkError as error:
        return {**outcome, "failed": True, "msg": str(cleaned(error.msg, hidden))}
    for step, parameters in zip(steps, ready, strict=True):
        report = _run_one(step, parameters, check_mode, before_step, hidden)
        reports.append(report)
        undo_args = report.pop("undo_args", None)
        if undo_args:
            undo.append((step["module"], undo_args))
        outcome["changed"] |= report["changed"]
        if report["failed"]:
            outcome |= {"failed": True, "msg": f"{step['name']}: {report['msg']}"}
            outcome |= report.pop("details", {})
            if undo_on_failure and undo and not report.get("fenced"):
                outcome["undone"] = _take_back(undo, hidden)
            break
    return outcome


def _run_one(
    step: dict[str, Any],
    parameters: dict[str, Any] | None,
    check_mode: bool,
    before_step: Callable[[], None],
    hidden: list[str],
) -> dict[str, Any]:
    """Return the report of one step; its failure is in it, nothing is raised."""
    report: dict[str, Any] = {
        "name": step["name"],
        "module": step["module"],
        "changed": False,
        "failed": False,
        "skipped": parameters is None,
        "msg": "",
        "started_at": _now(),
    }
    if parameters is not None:
        try:
            before_step()
        except work.WorkError as error:
            report |= {"failed": True, "fenced": True, "msg": error.msg}
        else:
            report |= cleaned_but_undo(_outcome(step["module"], parameters, check_mode), hidden)
    report["finished_at"] = _now()
    return report


def _outcome(module: str, parameters: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    try:
        result = dict(load(module).run(parameters, check_mode))
    except work.WorkError as error:
        return {"failed": True, "msg": error.msg, "details": error.details}
    except Exception as error:
        # A fault of ours in one server's step must not take the other servers' results along.
        return {
            "failed": True,
            "msg": f"{type(error).__name__}: {error}",
            "exception": traceback.format_exc(),
        }
    changed, diff = bool(result.pop("changed", False)), result.pop("diff", None)
    return {
        "changed": changed,
        "msg": str(result.pop("msg", "")),
        "undo_args": result.pop("undo_args", None),
        # Most steps of most runs change nothing, and would send their whole text twice.
        "diff": diff if changed else None,
        "result": result,
    }


def cleaned_but_undo(outcome: dict[str, Any], hidden: list[str]) -> dict[str, Any]:
    """Return `outcome` without secrets, its undo_args untouched: they never leave the host."""
    undo_args = outcome.pop("undo_args", None)
    shown: dict[str, Any] = cleaned(outcome, hidden)
    return {**shown, "undo_args": undo_args}


def _take_back(undo: list[tuple[str, dict[str, Any]]], hidden: list[str]) -> list[dict[str, Any]]:
    """Undo what this run made, the last first; a failing undo does not keep the others back."""
    reports = []
    for module, undo_args in reversed(undo):
        step = {"name": f"Undo {module}", "module": module, "args": undo_args}
        try:
            done = _outcome(module, validated(step, "", {}), check_mode=False)
        except work.WorkError as error:
            done = {"failed": True, "msg": error.msg}
        done.pop("undo_args", None)
        reports.append({"module": module, "failed": False, **cleaned(done, hidden)})
    return reports


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
