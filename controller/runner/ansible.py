"""AnsibleExecutor: playbooks by an unmodified ansible-runner."""

import logging
import os
import shlex
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from controller import metrics
from controller.runner import artifacts, bounds, head_start, item_results, leftovers
from controller.runner.host_text import keepable
from controller.runner.output import Output
from controller.runner.play_events import MESSAGE_MAX, PlayEvents
from controller.runner.requests import CANCELLED, FAILED, OK, TIMEOUT, UNREACHABLE, Run, RunResult
from controller.runner.run_folder import RunFolder, private_folder, run_folder
from controller.runner.warm import launch
from controller.settings import Settings
from controller.ssh import HostAccess

log = logging.getLogger(__name__)

# sshd takes 10 sessions on a connection; beyond it runs were silently lost.
FORKS = 8
# Each task costs a fork of Ansible's, even one whose `when` is false. These only people want.
FOR_PEOPLE = "one_by_one"
# The tag of the check of a role's arguments. Ours are made by one function, which is tested against
# the specs; what operators write themselves, for enrolment or as a host's variables, is checked.
ARGUMENT_CHECK = "always"
# But for these: enrolment has looked at them, and the step that takes one refuses what is no
# interface or address.
UNCHECKED = frozenset({"compute_flat_interfaces", "compute_vlan_interfaces", "compute_tunnel_ip"})

# Read by plugins/action/live_migration.py.
FORCE_VARIABLE = "NOVELLA_FORCE_COMPLETE"


class AnsibleExecutor:
    """Runs playbooks of `settings.project_dir`. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        # Here rather than at the top, for it costs 0.3 s and only the worker needs it; and before
        # there are threads, for two first imports at once see ansible_runner half made.
        import ansible_runner.config.runner
        import ansible_runner.runner  # noqa: F401 -- imported for _launch

        self._settings = settings
        self._lock = threading.Lock()
        self._own: leftovers.OwnFolder | None = None
        self._common = launch.environment(settings)
        self._launcher: launch.Launcher | None = None
        self._head_starts = head_start.HeadStarts(settings.project_dir)

    def run(self, run: Run) -> RunResult:
        """Do the run and return how it ended. Raises nothing for what goes wrong in it."""
        started = time.monotonic()
        try:
            with (
                run_folder(self._own_folder(), run) as folder,
                self._head_starts.given(run, folder),
            ):
                result = self._launch(run, folder, started)
        except Exception as error:
            log.exception("run %s of %s could not be launched", run.id, run.playbook)
            return RunResult(FAILED, message=f"The run could not be launched: {error}")
        start = "warm" if result.warm else "cold"
        log.info(
            "run %s: %s on %s ended %s in %.2f s, %s", run.id, run.playbook,
            ",".join(host.name for host in run.hosts), result.status, result.duration_s,
            start,
        )  # fmt: skip
        metrics.RUN_STARTS.labels(start).inc()
        metrics.RUNS.labels(run.playbook, result.status).observe(result.duration_s)
        return result

    def clean_up(self) -> None:
        """End what runs of killed predecessors left behind, and remove their folders."""
        dead = leftovers.remove_dead(private_folder(self._settings.runs_dir))
        if dead:
            log.warning("removed what runs of %d killed workers left behind", dead)

    def close(self) -> None:
        """Remove the folder of this process's runs; no run may be under way."""
        if self._own is not None:
            self._own.close()
            self._own = None

    def _own_folder(self) -> Path:
        with self._lock:
            if self._own is None:
                self._own = leftovers.OwnFolder(private_folder(self._settings.runs_dir))
                if self._settings.fork_server:
                    self._launcher = launch.Launcher.make(self._settings)
            return self._own.path

    def _launch(self, run: Run, folder: RunFolder, started: float) -> RunResult:
        from ansible_runner.config.runner import RunnerConfig
        from ansible_runner.runner import Runner

        started_by = self._launcher.command if self._launcher else ("ansible-playbook",)
        binary, *words = [
            *bounds.command(run.file_max_bytes or bounds.FILE_MAX_BYTES),
            *started_by,
        ]
        config = RunnerConfig(
            private_data_dir=str(folder.path),
            project_dir=str(self._settings.project_dir),
            ident="run",
            binary=binary,
            inventory=str(folder.inventory),
            cmdline=shlex.join([*words, *self._arguments(run, folder)]),
            quiet=True,
            suppress_env_files=True,
        )
        config.prepare()
        # Not what prepare() took over from our own environment.
        config.env = self._environment(run, folder, Path(config.artifact_dir))
        # Its other way is a terminal, which it looks at now and then, and closes with a nap.
        config.runner_mode = "subprocess"
        ids = {host.name: host.id for host in run.hosts}
        if run.own_playbook:
            ids["localhost"] = run.hosts[0].id
        # Those of a batch come earlier still (`_following`).
        events = PlayEvents(ids) if run.is_batch else PlayEvents(ids, run.on_item)
        runner = Runner(config, event_handler=events.take)
        said = folder.path / "output"
        with (
            Output(said, self._event_taker(runner, events)) as output,
            Path(os.devnull).open() as nothing,
            self._following(run, folder),
        ):
            config.input_fd, config.output_fd, config.error_fd = nothing, output.file, output.file
            output.look_for(_Bounds(run, folder, output, events).reached)
            runner.run()
        # One that ended well before it was ended has done its work.
        done = runner.status == "successful" and not events.incomplete
        status = output.ended_by or ("failed" if events.incomplete else runner.status)
        status = "successful" if done else status
        warm, why = self._how(run, folder)
        if not done:
            # One that was killed may have left some of its own behind.
            leftovers.end_processes(folder.path)
        result = RunResult(
            status=_status(status, events),
            hosts=events.results(),
            message=_message(status, events, said),
            stats=events.stats,
            duration_s=time.monotonic() - started,
            warm=warm,
            cold_because=why,
        )
        self._keep(run, folder, said, result)
        return result

    @staticmethod
    def _event_taker(runner: Any, events: PlayEvents) -> Callable[[dict[str, Any]], None]:
        artifact_dir = Path(runner.config.artifact_dir)
        return bounds.small_events(runner.event_callback, artifact_dir, events.complain)

    def _following(self, run: Run, folder: RunFolder) -> AbstractContextManager[None]:
        if not run.is_batch and not run.reports_progress:
            return nullcontext()
        ids = {host.name: host.id for host in run.hosts}
        return item_results.following(folder.item_results, ids, run.on_item)

    def _how(self, run: Run, folder: RunFolder) -> tuple[bool, str]:
        """Return whether the run was warm, and why not; a fall-back is also logged."""
        if self._launcher is None:
            return False, "the settings say so"
        warm, why = launch.how(folder.launch_record)
        if not warm:
            log.warning("run %s fell back to a plain ansible-playbook: %s", run.id, why)
            metrics.FALLBACKS.labels(launch.kind_of(why)).inc()
        return warm, why

    def _arguments(self, run: Run, folder: RunFolder) -> list[str]:
        ours = self._settings.project_dir / "playbooks" / f"{run.playbook}.yml"
        playbook = run.own_playbook or ours
        words = ["-e", f"@{folder.arguments}", "-e", f"@{folder.secrets}", "--forks", str(FORKS)]
        needs_check = run.playbook == "host_enroll" or any(map(_has_own_variables, run.hosts))
        skipped = FOR_PEOPLE if needs_check else f"{FOR_PEOPLE},{ARGUMENT_CHECK}"
        # An operator's own tags are left alone.
        words += [] if run.own_playbook else ["--skip-tags", skipped]
        return [*words, *(["--check", "--diff"] if run.check else []), str(playbook)]

    def _environment(self, run: Run, folder: RunFolder, artifact_dir: Path) -> dict[str, str]:
        """Return the whole environment of the run: nothing of ours leaks into it."""
        return {
            **self._common,
            "HOME": str(folder.home),
            "ANSIBLE_HOME": str(folder.home),
            "ANSIBLE_LOCAL_TEMP": str(folder.home / "tmp"),
            "AWX_ISOLATED_DATA_DIR": str(artifact_dir),
            # ansible-runner's callback empties a result past 700,000 bytes without a word: fifty
            # servers' results in one would be none. What is too much is for us to say.
            "MAX_EVENT_RES": str(bounds.FILE_MAX_BYTES),
            item_results.VARIABLE: str(folder.item_results),
            head_start.VARIABLE: str(folder.head_start),
            FORCE_VARIABLE: str(folder.force_complete),
            leftovers.MARK: str(folder.path),
            **({bounds.FILE_VARIABLE: str(run.file_max_bytes)} if run.file_max_bytes else {}),
            **(self._launcher.variables(folder.launch_record) if self._launcher else {}),
        }

    def _keep(self, run: Run, folder: RunFolder, stdout: Path, result: RunResult) -> None:
        try:
            with self._lock:
                artifacts.keep(
                    self._settings.artifacts_dir, self._settings.artifacts_kept,
                    run, folder, stdout, result,
                )  # fmt: skip
        except OSError as error:
            # The work on the host is done; a full disk here must not turn it into a failure.
            log.error("artifacts of run %s are lost: %s", run.id, error)


class _Bounds:
    """What ends a run before its own end: its time, somebody's word, and too many of its own."""

    def __init__(self, run: Run, folder: RunFolder, output: Output, events: PlayEvents) -> None:
        self._run, self._folder, self._output, self._events = run, folder, output, events
        self._until = time.monotonic() + run.timeout_s

    def reached(self) -> str | None:
        """End the run if it has to, and return why, in ansible-runner's words."""
        why = "timeout" if time.monotonic() > self._until else None
        if self._run.cancelled():
            why = "canceled"
        elif self._run.forced():
            self._folder.force_complete.touch()
        if self._output.taken_bytes > bounds.OUTPUT_MAX_BYTES:
            self._events.complain(f"{bounds.TOO_MUCH}: it was ended while it printed on.")
            why = "failed"
        if why:
            leftovers.end_processes(self._folder.path)
        return why


def _has_own_variables(host: HostAccess) -> bool:
    """Whether its operator gave it variables of the roles that nothing else has checked."""
    return any(not name.startswith("ansible_") for name in host.variables.keys() - UNCHECKED)


def _status(status: str, events: PlayEvents) -> str:
    if status == "successful":
        return OK
    if status == "timeout":
        return TIMEOUT
    if status == "canceled":
        return CANCELLED
    answers = {result.status for result in events.results().values()}
    return UNREACHABLE if answers == {UNREACHABLE} else FAILED


def _message(status: str, events: PlayEvents, stdout: Path) -> str:
    if status == "successful":
        return ""
    said = [result.message for result in events.results().values() if result.message]
    if events.incomplete:
        said = events.complaints[:1]
    if not said:
        said = events.complaints or [stdout.read_text(errors="replace") if stdout.exists() else ""]
    return str(keepable("\n".join(said).strip())[-MESSAGE_MAX:]) or f"The run ended: {status}."
