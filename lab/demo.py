"""`make demo`: a whole cloud on this machine, and a server in it that answers SSH.

`up` needs the virtual environment; `down` runs with any Python 3.11, so that `make clean-demo`
works after the environment is gone.
"""

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.cloud import Cloud
from lab.command import require_root
from lab.errors import LabError
from lab.progress import step
from lab.waiting import wait_until

LAB_NAME = "demo"
HOSTS = ("h1", "h2")
SERVER = "first"
IMAGE_CACHE = Path("var/cache/tiny.qcow2")
KEY_NAME = "demo"
SSH_TIMEOUT_S = 120


def main(argv: Sequence[str] | None = None) -> int:
    """Run `up` or `down`; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab.demo", description=__doc__)
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("--dir", type=Path, default=Path("var/demo"), help="(var/demo)")
    arguments = parser.parse_args(argv)
    try:
        (up if arguments.action == "up" else down)(arguments.dir)
    except LabError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    return 0


def up(directory: Path) -> None:
    """Set up the cloud, boot a server, log into it, and say what to type next."""
    require_root("run the demo")
    began = time.monotonic()
    cloud = Cloud(directory)
    _set_up(cloud)
    _fill(cloud)
    server = _boot(cloud)
    active_s = time.monotonic() - began
    address = _log_in(cloud, server)
    _say_what_next(cloud, address)
    login_s = time.monotonic() - began
    print(f"first server ACTIVE after {active_s:.0f} s, first log-in after {login_s:.0f} s")
    print("(packages and virtual environment not counted)")


def down(directory: Path) -> None:
    """Stop the controller, take the hosts down, and remove the demo's folder."""
    require_root("take the demo down")
    cloud = Cloud(directory)
    with step("stop the controller and take down the hosts", "demo"):
        cloud.destroy()
    with step(f"remove {directory}", "demo"):
        shutil.rmtree(directory, ignore_errors=True)


def _set_up(cloud: Cloud) -> None:
    from lab.contents import Login, write_clouds_yaml
    from lab.guest_image import ensure_image

    with step("build the tiny guest image from Debian packages", "demo"):
        ensure_image(IMAGE_CACHE)
    cloud.configure()
    cloud.start_lab(HOSTS, name=LAB_NAME)
    if not cloud.clouds_yaml.exists():
        logins = {
            "novella": Login("admin", secrets.token_urlsafe(12), "admin"),
            "novella-demo": Login("demo", secrets.token_urlsafe(12), "demo"),
        }
        write_clouds_yaml(cloud, logins)
    with step("migrate the database", "demo"):
        cloud.prepare_database(_entry(cloud, "novella")["password"])
    with step("start the controller", "demo"):
        cloud.start_controller()
    enrolled = cloud.novella("host", "list")
    for name in HOSTS:
        if f"\n{name} " not in enrolled:
            with step(f"enrol {name} by playbooks/host_enroll.yml", "demo"):
                cloud.enroll(name)


def _fill(cloud: Cloud) -> None:
    from lab import contents

    with step("make project, image, flavors and the external network", "demo"):
        admin = contents.connect(cloud, "novella")
        login = _entry(cloud, "novella-demo")
        contents.make_project(
            admin,
            contents.Login(login["username"], login["password"], login["project_name"]),
        )
        contents.make_flavors(admin)
        contents.upload_image(admin, IMAGE_CACHE)
        contents.make_public_network(admin, cloud)
    key = cloud.directory / "id_ed25519"
    if not key.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(key)],
            check=True,
        )
    _write_hand_variables(cloud, key)
    with step("open SSH and ping, and import a key pair, as project demo", "demo"):
        demo = contents.connect(cloud, "novella-demo")
        contents.allow_ssh_and_ping(demo)
        if demo.compute.find_keypair(KEY_NAME, ignore_missing=True) is None:
            demo.compute.create_keypair(
                name=KEY_NAME, public_key=key.with_suffix(".pub").read_text().strip()
            )


def _write_hand_variables(cloud: Cloud, key: Path) -> None:
    """Write what examples/server.yml needs here: for the same server by hand, without a controller.

    Its network is the host's own: the interface of the flat one belongs to the cloud's network.
    """
    variables = {
        "image_path": str(IMAGE_CACHE.absolute()),
        "public_key": key.with_suffix(".pub").read_text().strip(),
        "physical_network": "",
        "network_prefix": "192.168.77",
    }
    (cloud.directory / "hand.yml").write_text(json.dumps(variables, indent=1) + "\n")


def _boot(cloud: Cloud) -> dict[str, Any]:
    """Return the demo's server, made with the openstack client unless it is there."""
    listed = _openstack(cloud, "server", "list", "--name", f"^{SERVER}$")
    if not listed:
        with step(f"openstack server create {SERVER}", "demo"):
            _openstack(
                cloud, "server", "create", SERVER, "--flavor", "m1.nano", "--image", "tiny",
                "--network", "public", "--key-name", KEY_NAME, "--wait",
            )  # fmt: skip
    server: dict[str, Any] = _openstack(cloud, "server", "show", SERVER)
    if server["status"] != "ACTIVE":
        raise LabError(
            f"Server {SERVER} is {server['status']}: {server.get('fault', '')}. See {cloud.log}; "
            f"`make clean-demo` starts afresh."
        )
    return server


def _log_in(cloud: Cloud, server: dict[str, Any]) -> str:
    """Return the server's address once it answers SSH with the injected key."""
    address = next(iter(server["addresses"].values()))[0]
    with step(f"log into {address} by SSH with the injected key", "demo"):
        wait_until(
            lambda: ssh(cloud, address, "hostname") == SERVER,
            what=f"{address} answers SSH as {SERVER}",
            timeout_s=SSH_TIMEOUT_S,
            interval_s=0.5,
        )
    return str(address)


def ssh_command(cloud: Cloud, address: str) -> list[str]:
    """Return the command that logs into a guest; its host key is new with each server."""
    return [
        "ssh", "-i", str(cloud.directory / "id_ed25519"), "-o", "StrictHostKeyChecking=no",
        "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", f"root@{address}",
    ]  # fmt: skip


def ssh(cloud: Cloud, address: str, *command: str) -> str | None:
    """Return what `command` printed in the guest, None when it can't be reached."""
    options = ["-o", "ConnectTimeout=3", "-o", "BatchMode=yes"]
    argv = ssh_command(cloud, address)
    done = subprocess.run(
        [argv[0], *options, *argv[1:], *command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() if done.returncode == 0 else None


def _openstack(cloud: Cloud, *arguments: str) -> Any:
    """Return what the openstack client answers, as the demo's ordinary project."""
    client = Path(sys.executable).with_name("openstack")
    environment = {
        **os.environ,
        "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
        "OS_CLOUD": "novella-demo",
    }
    done = subprocess.run(
        [str(client), *arguments, "-f", "json"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"`openstack {' '.join(arguments)}` failed: {said}. See {cloud.log}.")
    return json.loads(done.stdout)


def _entry(cloud: Cloud, name: str) -> dict[str, str]:
    """Return the `auth` part of an entry of clouds.yaml."""
    import yaml

    auth: dict[str, str] = yaml.safe_load(cloud.clouds_yaml.read_text())["clouds"][name]["auth"]
    return auth


def _say_what_next(cloud: Cloud, address: str) -> None:
    print(f"""
A server runs on a real hypervisor of this machine. What to type next:

  export OS_CLIENT_CONFIG_FILE={cloud.clouds_yaml} OS_CLOUD=novella-demo
  .venv/bin/openstack server list
  .venv/bin/openstack console log show {SERVER}
  .venv/bin/openstack server reboot --hard {SERVER}
  {" ".join(ssh_command(cloud, address))}
  OS_CLOUD=novella .venv/bin/openstack hypervisor list      # as the administrator
  make clean-demo                                           # takes everything down
""")


if __name__ == "__main__":
    sys.exit(main())
