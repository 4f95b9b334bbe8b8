"""Import what a run of ours needs, once, in the process that forks.

Ansible fixes much when it is imported: its configuration, and from that the plugins' paths. So the
environment must be that of the runs before the first import; what differs from one run to the next
stands there as a placeholder, which `isolation` replaces.
"""

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

# Kinds of plugins that a run looks through one and all, to ask each for its options.
WHOLE = ("become_loader", "callback_loader", "connection_loader", "shell_loader")
# Loader (of ansible.plugins.loader) to those of its plugins that our runs use.
PLUGINS: Mapping[str, Iterable[str]] = {
    "action_loader": (
        "ansible.builtin.assert", "ansible.builtin.command", "ansible.builtin.copy",
        "ansible.builtin.fail", "ansible.builtin.include_vars", "ansible.builtin.normal",
        "ansible.builtin.set_fact", "ansible.builtin.shell", "ansible.builtin.template",
        "ansible.builtin.validate_argument_spec",
        "novella.cloud.apply", "novella.cloud.qcow2_disk",
    ),
    "cache_loader": ("ansible.builtin.memory",),
    "callback_loader": ("awx_display",),
    "filter_loader": ("ansible.builtin.bool", "novella.cloud.bridge_name"),
    "inventory_loader": ("ansible.builtin.yaml",),
    "lookup_loader": ("ansible.builtin.items", "ansible.builtin.template"),
    "strategy_loader": ("ansible.builtin.linear",),
    "test_loader": ("ansible.builtin.success",),
}  # fmt: skip
# Imported by Ansible or its libraries in the middle of a run.
MODULES = (
    "ansible.executor.playbook_executor",
    "ansible.executor.process.worker",
    "ansible.executor.task_executor",
    "ansible.executor.module_common",
    "ansible.module_utils._internal._json._profiles._module_legacy_m2c",
    "ansible.module_utils.common.arg_spec",
    "ansible.playbook.role_include",
    "ansible.playbook.task_include",
    "ansible.playbook.handler_task_include",
    "ansible.utils.unsafe_proxy",
    "ansible.vars.reserved",
    "encodings.idna",
    "logging.handlers",
    "multiprocessing.popen_fork",
    "multiprocessing.queues",
    "multiprocessing.synchronize",
    "stringprep",
    "zipfile",
)
# What knows where hosts keep archives; the action plugin has imported it.
KEPT_MODULES = "ansible_collections.novella.cloud.plugins.plugin_utils.kept_modules"
# Their archives are built ahead.
ARCHIVES = ("novella.cloud.apply",)


def import_ansible(collections: Path) -> None:
    """Import Ansible and the plugins of our runs. Raises what Ansible raises when it can't be.

    Plugins of a collection that isn't below `collections` are left out.
    """
    from ansible import cli
    from ansible.cli import playbook  # noqa: F401 -- it must be the first
    from ansible.plugins import loader
    from ansible.vars import plugins as vars_plugins

    loader.init_plugin_loader([])
    # A run would do it again, and warn that it is done.
    cli.init_plugin_loader = lambda _paths: None
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for loader_name in WHOLE:
        list(getattr(loader, loader_name).all(class_only=True))
    for loader_name, plugins in PLUGINS.items():
        for name in filter(partial(_is_there, collections), plugins):
            getattr(loader, loader_name).get(name, class_only=True)
    # These alone are kept as instances, which a run takes as it finds them.
    vars_plugins._prime_vars_loader()


def _is_there(collections: Path, plugin: str) -> bool:
    namespace, _, rest = plugin.partition(".")
    collection = collections / "ansible_collections" / namespace / rest.partition(".")[0]
    return not rest or namespace == "ansible" or collection.is_dir()


def archive_folder() -> Path:
    """Return where Ansible keeps the module archives that it has built, for this process."""
    from ansible import constants

    return Path(constants.DEFAULT_LOCAL_TMP) / "ansiballz_cache"


def build_archives(collections: Path) -> None:
    """Build the archives that go over to a host, as the first task with each module would.

    They are files. A process of its own makes them, for the 9 MB that stay with who made them.
    Where it fails, the first run with a module builds its archive, or says why it can't.
    """
    pid = os.fork()
    if pid == 0:
        try:
            _build_archives(collections)
        except Exception:
            log.exception("no module archive could be built ahead")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    _know_keys()


def _know_keys() -> None:
    """Work out under which keys hosts keep these archives: 15 ms for each run otherwise."""
    from ansible.executor import module_common

    kept_modules = sys.modules.get(KEPT_MODULES)
    if kept_modules is None:
        return
    for path in archive_folder().glob("*"):
        # What stands there otherwise is the trouble of the run that takes it.
        with contextlib.suppress(Exception):
            archive = module_common._CachedModule.load(str(path)).zip_data
            kept_modules.key_of(archive.decode())


def _build_archives(collections: Path) -> None:
    from ansible.executor import module_common
    from ansible.parsing.dataloader import DataLoader
    from ansible.plugins.loader import module_loader
    from ansible.template import Templar

    for name in filter(partial(_is_there, collections), ARCHIVES):
        found = module_loader.find_plugin_with_context(name)
        if found.resolved:
            module_common.modify_module(
                module_name=found.resolved_fqcn,
                module_path=found.plugin_resolved_path,
                module_args={},
                templar=Templar(loader=DataLoader()),
                task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
                module_compression="ZIP_DEFLATED",
            )


def constants_with(text: str) -> dict[str, Any]:
    """Return Ansible's configured constants that have `text` in them."""
    from ansible import constants

    return {
        name: value
        for name, value in vars(constants).items()
        if name.isupper() and isinstance(value, str | list) and text in str(value)
    }


def set_environment(environment: Mapping[str, str]) -> None:
    """Make `environment` this process's own, before Ansible looks at it."""
    if "ansible" in sys.modules:
        raise RuntimeError("Ansible is imported already, and so has read another environment.")
    os.environ.clear()
    os.environ.update(environment)
