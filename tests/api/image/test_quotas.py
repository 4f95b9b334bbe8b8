"""How much a project may upload, and what uploads leave free of the disk that they share."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from controller.api.common.calls import Services
from controller.core import image_store
from controller.db.base import utcnow
from controller.db.models import QuotaLimit, Server
from controller.settings import Settings
from tests.api.conftest import Caller
from tests.api.image.test_files import BYTES, IMAGES, make, stored, upload

MIB = 1 << 20
# Without a length; the test client would say one.
CHUNKED = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}


def stream(caller: Caller, image_id: str, data: bytes) -> int:
    """Upload without saying how much will come; return the status."""
    answer = caller.put(
        f"{IMAGES}/{image_id}/file",
        input_stream=BytesIO(data),
        content_type=BYTES,
        environ_overrides=CHUNKED,
    )
    if answer.status_code == 413:
        assert answer.json["code"] == "413 Request Entity Too Large"
    return answer.status_code


class TestQuota:
    """Three MiB for each project, and 100 for alpha by its own limit where a test says so."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, default_quota={"image_size_total": 3, "image_count_total": 4})

    @pytest.mark.parametrize("said", [True, False])
    def test_an_upload_beyond_the_quota_is_refused_and_nothing_is_kept(
        self, alice: Caller, settings: Settings, said: bool
    ) -> None:
        first, second = make(alice), make(alice)
        assert upload(alice, first, b"x" * 2 * MIB).status_code == 204
        data = b"x" * (MIB + 1)
        if said:
            answer = upload(alice, second, data)
            assert answer.status_code == 413
            assert "image_size_total" in answer.json["message"]
            assert f"{MIB} bytes" in answer.json["message"]
        else:
            assert stream(alice, second, data) == 413
        assert alice.get(f"{IMAGES}/{second}").json["status"] == "queued"
        assert stored(settings) == [first]
        assert stream(alice, second, data[:MIB]) == 204

    def test_two_uploads_begun_in_time_do_not_both_pass(
        self, alice: Caller, settings: Settings
    ) -> None:
        first, second = make(alice), make(alice)

        class UploadsAnotherMeanwhile(BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() == 0:
                    assert upload(alice, second, b"y" * 2 * MIB).status_code == 204
                return super().read(size)

        answer = alice.put(
            f"{IMAGES}/{first}/file",
            input_stream=UploadsAnotherMeanwhile(b"x" * 2 * MIB),
            content_type=BYTES,
            environ_overrides=CHUNKED,
        )
        assert answer.status_code == 413
        assert alice.get(f"{IMAGES}/{first}").json["status"] == "queued"
        assert stored(settings) == [second]

    def test_a_deleted_image_gives_its_share_back(self, alice: Caller, bob: Caller) -> None:
        first, second = make(alice), make(alice)
        upload(alice, first, b"x" * 3 * MIB)
        assert upload(alice, second, b"x").status_code == 413
        assert upload(bob, make(bob), b"x" * 3 * MIB).status_code == 204
        alice.delete(f"{IMAGES}/{first}")
        assert upload(alice, second, b"x").status_code == 204

    def test_a_deleted_images_bytes_count_while_a_server_needs_them(
        self, alice: Caller, services: Services
    ) -> None:
        first, second = make(alice), make(alice)
        upload(alice, first, b"x" * 3 * MIB)
        with services.db.write() as session:
            server = Server(
                project_id=alice.project_id, user_id=alice.user_id, name="web", hostname="web",
                flavor={}, reservation_id="r-1", image_id=first,
            )  # fmt: skip
            session.add(server)
        alice.delete(f"{IMAGES}/{first}")
        assert upload(alice, second, b"x").status_code == 413
        usage = alice.get("/image/v2/info/usage").json["usage"]
        assert usage["image_count_total"]["usage"] == 1
        with services.db.write() as session:
            session.get_one(Server, server.id).deleted_at = utcnow()
        assert upload(alice, second, b"x").status_code == 204

    def test_a_project_may_have_limits_of_its_own(self, alice: Caller, services: Services) -> None:
        with services.db.write() as session:
            session.add(
                QuotaLimit(project_id=alice.project_id, resource="image_size_total", limit=-1)
            )
        assert upload(alice, make(alice), b"x" * 4 * MIB).status_code == 204
        compute = alice.get(f"/compute/v2.1/os-quota-sets/{alice.project_id}").json["quota_set"]
        assert not {name for name in compute if name.startswith("image")}

    def test_the_number_of_images_is_limited(self, alice: Caller) -> None:
        for _ in range(4):
            make(alice)
        answer = alice.post(IMAGES, json={"name": "five"})
        assert answer.status_code == 413
        assert "image_count_total" in answer.json["message"]

    def test_usage_says_what_is_left(self, rita: Caller, alice: Caller) -> None:
        upload(alice, make(alice), b"x" * (MIB + 1))
        assert rita.get("/image/v2/info/usage").json["usage"] == {
            "image_size_total": {"limit": 3, "usage": 2},
            "image_count_total": {"limit": 4, "usage": 1},
        }


class TestReserve:
    """A disk of 8 MiB for images, of which four are to stay free."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Iterator[Settings]:
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "images"]
        done = subprocess.run([*mount, settings.images_dir], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"needs to mount a tmpfs: {done.stderr.decode().strip()}")
        yield replace(settings, image_store_reserve_mb=4)
        subprocess.run(["umount", settings.images_dir], check=True)

    def test_the_reserve_is_left_free_however_the_bytes_come(
        self, alice: Caller, settings: Settings
    ) -> None:
        image_id = make(alice)
        answer = upload(alice, image_id, b"x" * 5 * MIB)
        assert answer.status_code == 413
        assert "storage media is full" in answer.json["message"]
        most_bytes = 0

        class Watched(BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                nonlocal most_bytes
                part = image_store.part_path(settings, image_id)
                most_bytes = max(most_bytes, part.stat().st_size)
                return super().read(size)

        answer = alice.put(
            f"{IMAGES}/{image_id}/file",
            input_stream=Watched(b"x" * 7 * MIB),
            content_type=BYTES,
            environ_overrides=CHUNKED,
        )
        assert answer.status_code == 413
        assert 2 * MIB < most_bytes <= 4 * MIB
        assert stored(settings) == []
        assert alice.get(f"{IMAGES}/{image_id}").json["status"] == "queued"

    def test_images_fill_the_disk_up_to_the_reserve_and_the_cloud_goes_on(
        self, alice: Caller, settings: Settings
    ) -> None:
        made = []
        while True:
            image_id = make(alice)
            if stream(alice, image_id, b"x" * MIB) != 204:
                break
            made.append(image_id)
        assert len(made) in (3, 4)
        assert stored(settings) == sorted(made)
        Path(settings.images_dir / "filler.part").write_bytes(b"x" * 3 * MIB)
        alice.delete(f"{IMAGES}/{made[0]}")
        assert upload(alice, image_id, b"x").status_code == 413
