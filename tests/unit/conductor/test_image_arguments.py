"""What the plays around images are told is what their roles' specs take."""

import pytest

from controller.core import server_images, server_rebuild, server_rescue, server_shelve
from controller.core.server_rebuild import Rebuild
from controller.core.server_shelve import Place
from controller.db.models import Image, Server
from tests.unit.conductor.conftest import CONTEXT, Cloud
from tests.unit.conductor.test_arguments import _give_address, refusals

IMAGE = "0b7a3d52-6a0c-4a54-8f0a-6a1f4a9a0c11"


def begin(cloud: Cloud, server_id: str, action: str) -> None:
    with cloud.db.write() as session:
        server = session.get_one(Server, server_id)
        common = (session, cloud.settings, CONTEXT, server)
        if action == "rebuild":
            server_rebuild.rebuild(*common, Rebuild(image_id=IMAGE, admin_pass="x"))
        elif action == "rescue":
            server_rescue.rescue(*common, IMAGE, "x")
        elif action == "create_image":
            server_images.create_image(*common, "copy", {})
        elif action == "create_backup":
            server_images.create_backup(*common, "copy", {}, backup_type="daily", rotation=1)
        elif action == "shelve":
            server_shelve.shelve(*common)
        elif action == "unshelve":
            server_shelve.unshelve(*common, Place())


@pytest.mark.parametrize(
    ("actions", "playbooks"),
    [
        (["rebuild"], {"server_rebuild"}),
        (["rescue", "unrescue"], {"server_rescue", "server_unrescue"}),
        (["create_image"], {"server_create_image"}),
        (["create_backup"], {"server_create_backup"}),
        (["shelve", "unshelve"], {"server_shelve", "server_shelve_offload", "server_unshelve"}),
    ],
)
def test_arguments_are_what_the_playbooks_take(
    cloud: Cloud, actions: list[str], playbooks: set[str]
) -> None:
    cloud.add_host("h1")
    server_id = cloud.add_server(user_data="IyEvYmluL3No", config_drive=True)
    _give_address(cloud, cloud.add_port(server_id))
    cloud.work()
    with cloud.db.write() as session:
        session.add(
            Image(
                id=IMAGE, project_id=CONTEXT.project, status="active", disk_format="qcow2",
                sha256="1" * 64, size_bytes=1, virtual_size_bytes=1,
            )
        )  # fmt: skip
    cloud.executor.runs.clear()
    for action in actions:
        if action == "unrescue":
            cloud.act(server_id, action)
        begin(cloud, server_id, action)
        cloud.work()
    assert {run.playbook for run in cloud.executor.runs} == playbooks
    assert [refusals(run) for run in cloud.executor.runs] == [[] for _ in cloud.executor.runs]
