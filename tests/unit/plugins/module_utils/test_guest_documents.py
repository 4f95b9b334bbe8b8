"""`guest_documents.py`: what a guest reads about itself."""

import base64
import json

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import guest_documents, work
from tests.unit.plugins.module_utils.disk_files import SERVER_ID
from tests.unit.plugins.module_utils.domain_files import NETWORK_ID, PORT_ID, server

USER_DATA = b"#!/bin/sh\necho '{{ 7*7 }}' \xff\x00"
SECRET = {"user_data": base64.b64encode(USER_DATA).decode(), "admin_pass": "canary"}


def over_http(**changes: object) -> dict[str, bytes]:
    return guest_documents.documents(server(**changes), SECRET)


def meta(documents: dict[str, bytes], version: str = "latest") -> dict:
    return json.loads(documents[f"openstack/{version}/meta_data.json"])


def test_openstack_meta_data() -> None:
    found = meta(over_http())
    assert found["uuid"] == SERVER_ID
    assert (found["name"], found["hostname"]) == ("web1", "web1")
    assert found["public_keys"] == {"mykey": "ssh-ed25519 AAAA"}
    assert found["keys"] == [{"name": "mykey", "type": "ssh", "data": "ssh-ed25519 AAAA"}]
    assert found["meta"] == {"role": "web"}
    assert (found["launch_index"], found["project_id"]) == (0, "p1")
    assert found["availability_zone"] == "nova"


def test_tenant_text_stays_as_it_is() -> None:
    name = "{{ 7*7 }} 'a' \"b\"\n</x> 日本"
    assert meta(over_http(name=name))["name"] == name


def test_random_seed_is_the_given_one_or_stays_the_same() -> None:
    first, second = meta(over_http()), meta(over_http())
    assert first["random_seed"] == second["random_seed"]
    assert len(base64.b64decode(first["random_seed"])) == 512
    given = over_http(guest={"random_seed": "c2VlZA=="})
    assert meta(given)["random_seed"] == "c2VlZA=="


def test_admin_password_is_on_the_config_drive_alone() -> None:
    assert not any(b"canary" in body for body in over_http().values())
    drive = guest_documents.documents(server(), SECRET, for_config_drive=True)
    assert meta(drive)["admin_pass"] == "canary"


def test_old_versions_lack_what_came_later() -> None:
    documents = over_http()
    assert "random_seed" not in meta(documents, "2012-08-10")
    assert "keys" not in meta(documents, "2015-10-15")
    assert "openstack/2013-10-17/network_data.json" not in documents
    assert "openstack/2015-10-15/network_data.json" in documents


def test_user_data_is_bytes_in_both_trees() -> None:
    documents = over_http()
    assert documents["openstack/latest/user_data"] == USER_DATA
    assert documents["latest/user-data"] == USER_DATA
    without = guest_documents.documents(server())
    assert not any("user" in path for path in without)


def test_user_data_that_is_no_base64_is_refused() -> None:
    with pytest.raises(work.WorkError, match="it is not base64"):
        guest_documents.documents(server(), {"user_data": "%%%"})


def test_network_data_describes_ports_and_addresses() -> None:
    found = json.loads(over_http()["openstack/latest/network_data.json"])
    assert found["links"] == [
        {
            "id": "nvt9e0c4c528d1",
            "vif_id": PORT_ID,
            "type": "bridge",
            "mtu": 1450,
            "ethernet_mac_address": "fa:16:3e:00:00:01",
        }
    ]
    assert found["networks"] == [
        {
            "id": "network0",
            "link": "nvt9e0c4c528d1",
            "network_id": NETWORK_ID,
            "type": "ipv4_dhcp",
        }
    ]
    assert found["services"] == [{"type": "dns", "address": "10.91.1.3"}]


def test_subnet_without_dhcp_is_configured_in_full() -> None:
    a_server = server()
    subnet = a_server["networks"][0]["subnets"][0]
    subnet |= {
        "dhcp_ip": None,
        "host_routes": [{"destination": "10.0.0.0/8", "nexthop": "1.1.1.1"}],
    }
    network = guest_documents.network_data(a_server)["networks"][0]
    assert (network["type"], network["ip_address"]) == ("ipv4", "10.91.1.100")
    assert network["netmask"] == "255.255.255.0"
    assert [route["gateway"] for route in network["routes"]] == ["10.91.1.1", "1.1.1.1"]


def test_ec2_tree() -> None:
    documents = over_http(security_groups=[{"id": "g1", "name": "default"}, {"id": "g2"}])
    for version in ("latest", "2009-04-04", "1.0"):
        tree = f"{version}/meta-data"
        assert documents[f"{tree}/instance-id"] == b"i-5f2cbb63"
        assert documents[f"{tree}/ami-id"] == b"ami-0b7a3d52"
        assert documents[f"{tree}/local-ipv4"] == b"10.91.1.100"
        assert documents[f"{tree}/instance-type"] == b"m1.tiny"
        assert documents[f"{tree}/placement/availability-zone"] == b"nova"
        assert documents[f"{tree}/public-keys/0/openssh-key"] == b"ssh-ed25519 AAAA"
        assert documents[f"{tree}/security-groups"] == b"default\ng2"


def test_listings_lead_to_every_document() -> None:
    documents = over_http()
    assert documents["latest/meta-data/public-keys/"] == b"0=mykey"
    assert documents["latest/"] == b"meta-data/\nuser-data"
    assert b"placement/" in documents["latest/meta-data/"].split(b"\n")
    assert documents["openstack/"].split(b"\n")[-1] == b"latest"
    assert b"2009-04-04" in documents[""].split(b"\n")
    assert b"meta_data.json" in documents["openstack/2018-08-27/"]
    for path in documents:
        folder = path.rstrip("/").rpartition("/")[0]
        assert not folder or f"{folder}/" in documents


def test_config_drive_has_one_ec2_file_and_no_listings() -> None:
    drive = guest_documents.documents(server(), SECRET, for_config_drive=True)
    assert not any(path.endswith("/") or not path for path in drive)
    ec2 = json.loads(drive["ec2/latest/meta-data.json"])
    assert ec2["instance-id"] == "i-5f2cbb63"
    assert ec2["public-keys"]["0"]["openssh-key"] == "ssh-ed25519 AAAA"
