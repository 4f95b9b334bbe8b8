"""The README's second example: site.yml makes a cloud of one controller and one compute host.

From nothing, out of an ordinary inventory, with a copy of this checkout; then used from outside.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import pytest
import yaml

from lab import contents, hosts
from lab.access import operator_key, ssh_common_args
from lab.cloud import Cloud
from lab.naming import lab_name_of
from lab.record import load_existing
from lab.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
LAB_NAME = os.environ.get("NOVELLA_TEST_LAB") or lab_name_of("s", ROOT)
CONTROLLER, COMPUTE = "controller1", "compute1"
ADMIN_PASSWORD = "canary-{{ 7*7 }}-\"of'the\\administrator"
# What an installation needs of the checkout. Copied, as others may be working in it.
SOURCE = (
    "ansible.cfg", "collections", "constraints.txt", "controller", "galaxy.yml", "lab", "meta",
    "playbooks", "plugins", "pyproject.toml", "README.md", "roles", "templates",
)  # fmt: skip
PLAY_TIMEOUT_S = 600
BOOT_TIMEOUT_S = 180


@dataclass(frozen=True)
class Site:
    """An operator with a checkout, an inventory and two machines that they can log into."""

    directory: Path
    checkout: Path
    inventory: Path
    secrets: Path

    @property
    def cloud(self) -> Cloud:
        return Cloud(self.directory)

    @property
    def controller_address(self) -> str:
        return _address(self.cloud.lab_dir, CONTROLLER)

    def play(self, *arguments: str) -> str:
        """Return what site.yml printed; it must succeed."""
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(self.checkout / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(self.directory / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": f"/tmp/{LAB_NAME}-cp",
            "ANSIBLE_NOCOLOR": "1",
        }
        done = subprocess.run(
            [program, "-i", str(self.inventory), "playbooks/site.yml", "-e", f"@{self.secrets}",
             *arguments],
            cwd=self.checkout, env=environment, capture_output=True, text=True, check=False,
            timeout=PLAY_TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-5000:]
        return done.stdout + done.stderr

    def connect(self) -> Any:
        """Return the administrator's connection to the controller's API."""
        return openstack.connect(
            load_yaml_config=False, load_envvars=False, region_name="RegionOne",
            auth={
                "auth_url": f"http://{self.controller_address}:8774/identity/v3",
                "username": "admin", "password": ADMIN_PASSWORD, "project_name": "admin",
                "user_domain_name": "Default", "project_domain_name": "Default",
            },
        )  # fmt: skip

    def on_host(self, host: str, *argv: str) -> str:
        return hosts.run(self.cloud.lab_dir, host, argv).stdout

    def files(self) -> dict[str, str]:
        """Each file of the two machines with its age, where plays write, and the storage pools."""
        folders = "/etc /opt /usr/local /var/lib/novella* /var/lib/dpkg/status"
        find = f"find {folders} -printf '%p %s %m %T@\\n' 2>/dev/null | sort; virsh pool-list --all"
        return {host: self.on_host(host, "sh", "-c", find) for host in (CONTROLLER, COMPUTE)}

    def change_inventory(self, group: str, host: str, variables: dict[str, Any]) -> None:
        inventory = yaml.safe_load(self.inventory.read_text())
        inventory["all"]["children"][group]["hosts"][host].update(variables)
        self.inventory.write_text(yaml.safe_dump(inventory))

    def known_host(self) -> dict[str, Any]:
        """What the controller knows of the one host."""
        novella = ("/opt/novella/venv/bin/novella", "host", "list", "--json")
        [known] = json.loads(self.on_host(CONTROLLER, "runuser", "-u", "novella", "--", *novella))
        return dict(known)


@pytest.fixture(scope="module")
def wheels() -> Path:
    """A folder with all that pip needs for the controller: lab hosts have no way out."""
    pins = (ROOT / "constraints.txt").read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    folder = ROOT / "var/cache" / f"wheels-{hashlib.sha256(pins).hexdigest()[:12]}"
    if folder.exists():
        return folder
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", str(partial)]
    pinned = ["-c", str(ROOT / "constraints.txt"), *project["project"]["dependencies"]]
    # What builds the package is chosen by pip apart from what it needs when it runs.
    for wanted in (pinned, project["build-system"]["requires"]):
        subprocess.run([*pip, *wanted], check=True)
    return partial.rename(folder)


@pytest.fixture(scope="module")
def site(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # Always the same folder, or the next run could not tell a lab that was left from another's.
    directory = ROOT / "var/tests" / LAB_NAME
    lab_dir = Cloud(directory).lab_dir
    hosts.down(lab_dir, name=LAB_NAME, purge=True)
    try:
        hosts.up(lab_dir, (CONTROLLER, COMPUTE), name=LAB_NAME)
        shutil.copytree(wheels, lab_dir / "shared/wheels")
        temporary = tmp_path_factory.mktemp("site")
        yield Site(
            directory,
            _copy_checkout(temporary / "checkout"),
            _write_inventory(temporary / "hosts.yml", lab_dir),
            _write_secrets(temporary / "secrets.json"),
        )
    finally:
        hosts.down(lab_dir, name=LAB_NAME, purge=True)
        shutil.rmtree(directory, ignore_errors=True)


def _address(lab_dir: Path, name: str) -> str:
    record = load_existing(lab_dir)
    return record.names.mgmt_ip(record.host(name).number)


def _copy_checkout(target: Path) -> Path:
    target.mkdir()
    for name in SOURCE:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, target / name,
                symlinks=True, ignore=shutil.ignore_patterns("__pycache__"),
            )  # fmt: skip
        else:
            shutil.copy2(ROOT / name, target / name)
    return target


def _write_inventory(path: Path, lab_dir: Path) -> Path:
    """Write what the README's reader writes, with how to reach these machines."""
    offline = "--no-index --find-links /srv/shared/wheels"
    controller = {
        "ansible_host": _address(lab_dir, CONTROLLER),
        "controller_pip_arguments": offline,
    }
    compute = {
        "ansible_host": _address(lab_dir, COMPUTE),
        "compute_flat_interfaces": {"physnet1": "eth1"},
    }
    inventory = {
        "all": {
            "vars": {
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(operator_key(lab_dir)),
                "ansible_ssh_common_args": ssh_common_args(lab_dir),
            },
            "children": {
                "controller": {"hosts": {CONTROLLER: controller}},
                "compute_hosts": {"hosts": {COMPUTE: compute}},
            },
        }
    }
    path.write_text(yaml.safe_dump(inventory))
    return path


def _write_secrets(path: Path) -> Path:
    # On the command line, -vvv would show it. Marked, or Ansible would take it for a template.
    path.write_text(json.dumps({"controller_admin_password": {"__ansible_unsafe": ADMIN_PASSWORD}}))
    path.chmod(0o600)
    return path


def changes(output: str) -> dict[str, int]:
    """Return the number of changes by host, as the recap counts them."""
    recap = output.partition("PLAY RECAP")[2]
    return {
        name: int(number) for name, number in re.findall(r"^(\S+)\s+:.*changed=(\d+)", recap, re.M)
    }


def test_site_makes_a_cloud_that_boots_servers_and_changes_nothing_when_run_again(
    site: Site, tiny_image: Path
) -> None:
    before = site.files()
    shown = site.play("--check", "--diff")
    assert all(changes(shown)[host] > 0 for host in (CONTROLLER, COMPUTE))
    assert site.files() == before

    first = site.play("-vvv")
    assert all(changes(first)[host] > 0 for host in (CONTROLLER, COMPUTE))
    # JSON and YAML write its quotes and backslash in ways of their own.
    assert "canary-" not in first

    with site.connect() as admin:
        [hypervisor] = admin.compute.hypervisors(details=True)
        assert (hypervisor.name, hypervisor.state) == (COMPUTE, "up")
        _boot_a_server(site, admin, tiny_image)

    checked = site.play("--check", "--diff")
    assert changes(checked) == {CONTROLLER: 0, COMPUTE: 0}
    assert changes(site.play()) == {CONTROLLER: 0, COMPUTE: 0}


def test_what_changes_in_the_inventory_is_handed_on_to_the_controller(site: Site) -> None:
    told = {
        "compute_flat_interfaces": {"physnet1": "eth1"},
        "compute_vnc_listen": "127.0.0.2",
        "controller_addresses": site.controller_address,
    }
    site.change_inventory("compute_hosts", COMPUTE, told)
    settings = {"listen_host": "0.0.0.0", "region": "RegionOne", "default_quota": {"cores": 7}}  # noqa: S104
    settings["public_url"] = f"http://{site.controller_address}:8774"
    site.change_inventory("controller", CONTROLLER, {"controller_settings": settings})

    shown = site.play("--check", "--diff")
    assert "127.0.0.2" in shown
    assert all(number > 0 for number in changes(shown).values())
    assert site.known_host()["variables"] != told
    assert all(number > 0 for number in changes(site.play()).values())
    # Enrolled again by the controller itself, which writes the line of its key too.
    assert site.known_host()["variables"] == told
    keys = site.on_host(COMPUTE, "cat", "/root/.ssh/authorized_keys")
    assert f'restrict,from="{site.controller_address}" ' in keys
    assert "default_quota = { cores = 7 }" in site.on_host(
        CONTROLLER, "cat", "/etc/novella/novella.toml"
    )
    with site.connect() as admin:
        assert admin.get_compute_quotas("admin").cores == 7
    assert changes(site.play()) == {CONTROLLER: 0, COMPUTE: 0}


def _boot_a_server(site: Site, admin: Any, image_file: Path) -> None:
    contents.make_flavors(admin)
    image = contents.upload_image(admin, image_file)
    network = contents.make_public_network(admin, site.cloud)
    flavor = admin.compute.find_flavor("m1.nano", ignore_missing=False)
    server = admin.compute.create_server(
        name="first", image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}]
    )
    server = admin.compute.wait_for_server(server, wait=180)
    assert server.status == "ACTIVE"
    assert server.hypervisor_hostname == COMPUTE
    assert server.id in site.on_host(COMPUTE, "virsh", "list", "--uuid", "--state-running")
    console = f"/var/lib/novella/instances/{server.id}/console.log"
    wait_until(
        lambda: "NOVELLA-GUEST-READY" in site.on_host(COMPUTE, "cat", console),
        what="the guest has booted",
        timeout_s=BOOT_TIMEOUT_S,
        interval_s=0.5,
    )
