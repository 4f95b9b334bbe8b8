"""The API's processes: gunicorn around the application.

With one worker the application is loaded in it alone: Python writes to the pages of whatever it
uses, so that of a parent's copy little stays shared, and the parent would weigh as much again.
"""

import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger

from controller.errors import NovellaError
from controller.settings import Settings
from controller.weight import settle

if TYPE_CHECKING:
    from controller.db.session import Database

log = logging.getLogger(__name__)


def serve_api(settings: Settings) -> None:
    """Answer requests until SIGTERM, then end what is in hand."""
    parent = os.getpid()
    try:
        _Gunicorn(settings, _metrics_bind(settings)).run()
    except SystemExit as ended:
        # Its workers' ends come by here too; by their status gunicorn ends all of it.
        if ended.code == Arbiter.APP_LOAD_ERROR and os.getpid() == parent:
            raise NovellaError("The API could not be prepared; the log has why.") from ended
        raise


def _prepare(settings: Settings, db: "Database", *, mend: bool) -> None:
    """Do in the database what comes before the first request. Ends the process that must not serve.

    One that is away is no reason: requests are answered with 503 until it is back.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from controller.core.images import mend_dead_uploads
    from controller.db import revisions
    from controller.db.failures import is_away

    try:
        revisions.require(db)
        if mend:
            with db.write() as session:
                mend_dead_uploads(session, settings)
    except NovellaError as error:
        log.error("%s", error)
        sys.exit(Arbiter.APP_LOAD_ERROR)
    except SQLAlchemyError as error:
        if not is_away(error):
            raise
        db.outages.note("mending uploads that broke off, which the next start does,", error)


class _Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, settings: Settings, metrics_bind: list[str]) -> None:
        self.settings = settings
        self.metrics_bind = metrics_bind
        self.reloaded = False
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        options: dict[str, Any] = {
            "bind": [f"{settings.listen_host}:{settings.listen_port}", *self.metrics_bind],
            "workers": settings.api_workers,
            "worker_class": "controller.paced.PacedWorker",
            "threads": settings.api_threads,
            "preload_app": settings.api_workers > 1,
            # Long enough for an upload's next chunk; gthread workers beat from their main thread.
            "timeout": 120,
            "graceful_timeout": 30,
            "keepalive": 30,
            "worker_tmp_dir": "/dev/shm",  # noqa: S108 -- gunicorn's heartbeat file, made by mkstemp
            "limit_request_line": 8190,
            # A socket that takes orders from whoever opens it, which nobody here does.
            "control_socket_disable": True,
            "accesslog": None,
            "logger_class": _Logger,
            "loglevel": "warning",
            "pre_fork": _before_fork,
            "post_fork": _after_fork,
            "post_worker_init": _after_load,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def reload(self) -> None:
        super().reload()
        # The process before may be at the end of an upload.
        self.reloaded = True

    def load(self) -> Any:
        # The database is looked at where the application is loaded: a process of its own for that
        # imported all of it once more, 2 of 5 seconds of CPU until an API answered.
        from controller.app import build_app, build_services

        services = build_services(self.settings)
        _prepare(self.settings, services.db, mend=not self.reloaded)
        return build_app(self.settings, services)


class _Logger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own messages go where all others go, in their form."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def _metrics_bind(settings: Settings) -> list[str]:
    """Return the metrics' address as gunicorn has it; none when it can't be had.

    A port that somebody else listens on must not keep the API from its work.
    """
    from controller.api.metrics_address import listen_address

    address = listen_address(settings)
    if address is None:
        return []
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server(address, family=family).close()
    except OSError as error:
        log.error(
            "nobody can read metrics: cannot listen on %s: %s", settings.metrics_listen, error
        )
        return []
    return [f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"]


def _before_fork(_server: Any, _worker: Any) -> None:
    # What was made before the fork is never collected: its pages stay shared.
    settle()


def _after_fork(_server: Any, worker: Any) -> None:
    from controller import metrics
    from controller.runner.warm.processes import die_with_parent

    # Orphaned by a kill it would keep both ports while it ends its connections in peace, and the
    # next API could not listen: chaos saw it away for 85 seconds, and then without its metrics.
    die_with_parent()
    if os.getppid() != worker.ppid:
        # The parent's end was before that.
        os._exit(1)
    settings = worker.app.settings
    if settings.api_workers > 1:
        # Connections opened while loading belong to the parent.
        worker.app.callable.extensions["novella"].db.dispose()
    metrics.start(settings.metrics_dir, "api", several=True)


def _after_load(_worker: Any) -> None:
    settle()
