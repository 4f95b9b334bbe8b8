"""AnsibleExecutor: playbooks by an unmodified ansible-runner."""

import logging
import sys
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from controller import metrics
from controller.runner import artifacts, item_results, leftovers
from controller.runner.play_events import MESSAGE_MAX, PlayEvents, storable
from controller.runner.requests import CANCELLED, FAILED, OK, TIMEOUT, UNREACHABLE, Run, RunResult
from controller.runner.run_folder import RunFolder, private_folder, run_folder
from controller.settings import Settings

log = logging.getLogger(__name__)

# How soon a cancel or a timeout is noticed.
LOOK_EVERY_S = 0.5
# sshd takes 10 sessions on a connection; beyond it runs were silently lost.
FORKS = 8


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

    def run(self, run: Run) -> RunResult:
        """Do the run and return how it ended. Raises nothing for what goes wrong in it."""
        started = time.monotonic()
        try:
            with run_folder(self._own_folder(), run) as folder:
                result = self._launch(run, folder, started)
        except Exception as error:
            log.exception("run %s of %s could not be launched", run.id, run.playbook)
            return RunResult(FAILED, message=f"The run could not be launched: {error}")
        log.info(
            "run %s: %s on %s ended %s in %.2f s", run.id, run.playbook,
            ",".join(host.name for host in run.hosts), result.status, result.duration_s,
        )  # fmt: skip
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
            return self._own.path

    def _launch(self, run: Run, folder: RunFolder, started: float) -> RunResult:
        from ansible_runner.config.runner import RunnerConfig
        from ansible_runner.runner import Runner

        config = RunnerConfig(
            private_data_dir=str(folder.path),
            project_dir=str(self._settings.project_dir),
            ident="run",
            playbook=str(self._settings.project_dir / "playbooks" / f"{run.playbook}.yml"),
            inventory=str(folder.inventory),
            cmdline=self._command_line(run, folder),
            timeout=run.timeout_s,
            settings={"pexpect_timeout": LOOK_EVERY_S},
            quiet=True,
            suppress_env_files=True,
        )
        config.prepare()
        # Not what prepare() took over from our own environment.
        config.env = self._environment(folder, Path(config.artifact_dir))
        events = PlayEvents({host.name: host.id for host in run.hosts})
        runner = Runner(config, cancel_callback=run.cancelled, event_handler=events.take)
        with self._following(run, folder):
            runner.run()
        if runner.status in ("timeout", "canceled"):
            leftovers.end_processes(folder.path)
        stdout = Path(config.artifact_dir) / "stdout"
        result = RunResult(
            status=_status(runner.status, events),
            hosts=events.results(),
            message=_message(runner.status, events, stdout),
            stats=events.stats,
            duration_s=time.monotonic() - started,
        )
        self._keep(run, folder, stdout, result)
        return result

    def _following(self, run: Run, folder: RunFolder) -> AbstractContextManager[None]:
        if not run.is_batch:
            return nullcontext()
        ids = {host.name: host.id for host in run.hosts}
        return item_results.following(folder.item_results, ids, run.on_item)

    def _command_line(self, run: Run, folder: RunFolder) -> str:
        words = ["-e", f"@{folder.arguments}", "-e", f"@{folder.secrets}", "--forks", str(FORKS)]
        return " ".join([*words, "--check", "--diff"] if run.check else words)

    def _environment(self, folder: RunFolder, artifact_dir: Path) -> dict[str, str]:
        """Return the whole environment of the run: nothing of ours leaks into it."""
        from ansible_runner.utils import get_callback_dir

        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder.home),
            "ANSIBLE_HOME": str(folder.home),
            "ANSIBLE_LOCAL_TEMP": str(folder.home / "tmp"),
            "ANSIBLE_CONFIG": str(self._settings.project_dir / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(self._settings.project_dir / "collections"),
            # One plugin looks at the inventory, rather than six in turn.
            "ANSIBLE_INVENTORY_ENABLED": "yaml",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOST_KEY_CHECKING": "True",
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_CALLBACK_PLUGINS": get_callback_dir(),
            "ANSIBLE_STDOUT_CALLBACK": "awx_display",
            "AWX_ISOLATED_DATA_DIR": str(artifact_dir),
            "RUNNER_OMIT_EVENTS": "False",
            "RUNNER_ONLY_FAILED_EVENTS": "False",
            item_results.VARIABLE: str(folder.item_results),
            leftovers.MARK: str(folder.path),
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
    if not said:
        said = events.complaints or [stdout.read_text(errors="replace") if stdout.exists() else ""]
    return str(storable("\n".join(said).strip())[-MESSAGE_MAX:]) or f"The run ended: {status}."
