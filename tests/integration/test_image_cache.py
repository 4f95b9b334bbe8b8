"""Base images on hosts: brought ahead of servers, damaged ones fetched anew, aged when unused."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from lab import contents
from lab.waiting import wait_until
from tests.fixtures.cloud import HOSTS, CloudForTests

pytestmark = pytest.mark.lab

BASES = "/var/lib/novella/instances/_base"


def test_an_image_is_brought_to_hosts_and_a_damaged_base_is_fetched_anew(
    cloud: CloudForTests, tiny_image: Path
) -> None:
    cloud.await_hosts()
    image = contents.upload_image(cloud.admin, tiny_image, "tiny-ahead")
    base = f"{BASES}/{hashlib.sha1(image.id.encode(), usedforsecurity=False).hexdigest()}"

    def is_on(host: str) -> bool:
        return cloud.on_host(host, "test", "-e", base, check=False).returncode == 0

    answer = cloud.admin.compute.post(
        "/novella-image-cache", json={"prefetch": {"image": image.id, "hosts": list(HOSTS)}}
    )
    assert answer.status_code == 202, answer.text
    wait_until(lambda: all(map(is_on, HOSTS)), what="both hosts have the image", timeout_s=120)

    server = cloud.boot("of-a-base", image_id=image.id)
    cloud.in_guest(server, "true")
    used = cloud.host_of(server)
    unused = next(host for host in HOSTS if host != used)
    for host in HOSTS:
        # Free space of the image: no guest minds.
        size = int(cloud.on_host(host, "stat", "-c", "%s", base).stdout)
        end = f"seek={size // 512 - 1}"
        argv = ("dd", "if=/dev/urandom", f"of={base}", "bs=512", end, "count=1", "conv=notrunc")
        cloud.on_host(host, *argv)
    found = check(cloud, used)
    assert found.returncode == 1, found.stdout + found.stderr
    assert f"damaged, in use: base {base.rpartition('/')[2]} (image {image.id})" in found.stdout
    assert is_on(used)
    found = check(cloud, unused)
    assert found.returncode == 0, found.stdout + found.stderr
    assert f"damaged, fetched anew: base {base.rpartition('/')[2]}" in found.stdout
    wait_until(lambda: is_on(unused), what="the base is fetched anew", timeout_s=120)
    assert "damaged" not in check(cloud, unused).stdout
    cloud.delete(server)
    assert check(cloud, used).returncode == 0
    cloud.admin.image.delete_image(image)


def check(cloud: CloudForTests, host: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*cloud.cloud.command, "image", "check", host],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
