"""A real guest posts its password, encrypted by a key pair; its owner reads and decrypts it."""

import base64
import subprocess
from pathlib import Path

import pytest

from lab.waiting import wait_until
from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab
POST = "timeout 10 wget -q -O- --post-data '{}' http://169.254.169.254/openstack/latest/password"


def openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(
        ["openssl", *arguments], input=stdin, check=True, capture_output=True
    ).stdout


def test_a_password_that_the_guest_posts_reaches_the_holder_of_the_key(
    cloud: CloudForTests, tmp_path: Path
) -> None:
    private, public = str(tmp_path / "key"), str(tmp_path / "key.pub")
    openssl("genrsa", "-out", private, "2048")
    openssl("rsa", "-in", private, "-pubout", "-out", public)
    encrypted = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", public, stdin=b"Wind0ws!")
    posted = base64.b64encode(encrypted).decode()

    server = cloud.boot("with-password")
    path = f"/servers/{server.id}/os-server-password"

    def shown() -> str:
        return str(cloud.tenant.compute.get(path).json()["password"])

    assert shown() == ""
    cloud.in_guest(server, POST.format(posted))
    again = cloud.in_guest(server, f"{POST.format('other')} || echo refused")
    assert again.strip() == "refused"
    wait_until(lambda: shown() != "", what="a heartbeat has brought the password", timeout_s=60)
    decrypted = openssl("pkeyutl", "-decrypt", "-inkey", private, stdin=base64.b64decode(shown()))
    assert decrypted == b"Wind0ws!"

    assert cloud.tenant.compute.delete(path).status_code == 204
    cloud.settle(server)
    assert shown() == ""
    host = cloud.host_of(server)
    kept = "ls /var/lib/novella/networks/*/passwords"

    def may_post_again() -> bool:
        return server.id not in cloud.on_host(host, "sh", "-c", kept).stdout

    wait_until(may_post_again, what="the host has forgotten the password", timeout_s=30)
    cloud.in_guest(server, POST.format("c2Vjb25k"))
    assert f"{server.id}.1" in cloud.on_host(host, "sh", "-c", kept).stdout
    cloud.delete(server)
    assert server.id not in cloud.on_host(host, "sh", "-c", kept, check=False).stdout
