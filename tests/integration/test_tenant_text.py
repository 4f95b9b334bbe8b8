"""Tenant text is data: what a tenant writes reaches the guest as it was written, whatever it is."""

import base64
import json
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.fixtures.cloud import CloudForTests

pytestmark = pytest.mark.lab

# Jinja, XML, YAML, shell and Python, each of which would show if somebody interpreted it.
NASTY = """{{ 7*7 }} {% raw %} <a b="c">&lt;' "$(id)" `id` !unsafe %(x)s ${x} \\ é ☃"""
# The API takes no other characters in a key.
META = {"a key: 1-2_3.4": NASTY, "plain": "{{ lookup('pipe', 'id') }}"}


def test_text_of_a_tenant_stays_text_all_the_way_into_the_guest(cloud: CloudForTests) -> None:
    user_data = f"#!/bin/sh\n: '{{{{ 7*7 }}}}'\ncat > /root/seen <<'END'\n{NASTY}\nEND\n"
    server = cloud.boot(
        NASTY,
        description=NASTY,
        metadata=META,
        user_data=base64.b64encode(user_data.encode()).decode(),
        config_drive=True,
    )
    assert server.name == NASTY

    assert cloud.in_guest(server, "cat /root/seen").rstrip("\n") == NASTY
    by_network = _document(cloud, server, "http://169.254.169.254/openstack/latest/meta_data.json")
    assert (by_network["name"], by_network["meta"]) == (NASTY, META)
    cloud.in_guest(server, "mkdir -p /mnt; mount -o ro /dev/sr0 /mnt 2>/dev/null; true")
    on_drive = json.loads(cloud.in_guest(server, "cat /mnt/openstack/latest/meta_data.json"))
    assert (on_drive["name"], on_drive["meta"]) == (NASTY, META)
    assert cloud.in_guest(server, "cat /mnt/openstack/latest/user_data") == user_data
    host = cloud.host_of(server)
    xml = cloud.on_host(host, "virsh", "dumpxml", server.id).stdout
    assert NASTY in {element.text for element in ElementTree.fromstring(xml).iter()}  # noqa: S314 -- libvirt's own
    cloud.delete(server)


def _document(cloud: CloudForTests, server: Any, url: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(cloud.in_guest(server, f"wget -q -O - {url}"))
    return document
