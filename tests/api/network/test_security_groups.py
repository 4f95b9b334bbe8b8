"""Security groups: the default one, rules as Neutron checks them, and what holds a group."""

import threading

import pytest

from .conftest import V2, make


def groups(caller, query=""):
    return caller.get(f"{V2}/security-groups{query}").json["security_groups"]


def add_rule(caller, group, **values):
    body = {"security_group_id": group["id"], "direction": "ingress", **values}
    return caller.post(f"{V2}/security-group-rules", json={"security_group_rule": body})


def ports(low, high):
    return {"port_range_min": low, "port_range_max": high}


@pytest.fixture
def web(alice):
    return make(alice, "security_group", name="web", description="{{ 7*7 }}")


def test_each_project_finds_its_default_group(alice, bob):
    (group,) = groups(alice)
    assert (group["name"], group["project_id"]) == ("default", alice.project_id)
    rules = {
        (rule["direction"], rule["ethertype"], rule["remote_group_id"])
        for rule in group["security_group_rules"]
    }
    assert rules == {
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
        ("ingress", "IPv4", group["id"]),
        ("ingress", "IPv6", group["id"]),
    }
    assert groups(bob)[0]["id"] != group["id"]


def test_those_who_race_for_the_default_group_find_one(alice):
    found = []
    threads = [
        threading.Thread(target=lambda: found.extend(each["id"] for each in groups(alice)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_the_default_group_keeps_name_and_place(alice, refused):
    (group,) = groups(alice)
    path = f"{V2}/security-groups/{group['id']}"
    refused(alice.delete(path), 409, "SecurityGroupCannotRemoveDefault")
    answer = alice.put(path, json={"security_group": {"name": "other"}})
    refused(answer, 409, "SecurityGroupCannotUpdateDefault")
    assert alice.put(path, json={"security_group": {"description": "x"}}).status_code == 200
    answer = alice.post(f"{V2}/security-groups", json={"security_group": {"name": "default"}})
    refused(answer, 409, "SecurityGroupDefaultAlreadyExists")


def test_a_new_group_lets_all_out_and_nothing_in(web):
    assert web["description"] == "{{ 7*7 }}"
    rules = [(rule["direction"], rule["ethertype"]) for rule in web["security_group_rules"]]
    assert sorted(rules) == [("egress", "IPv4"), ("egress", "IPv6")]


def test_rules(alice, web, refused):
    rule = add_rule(
        alice, web, protocol="TCP", port_range_min="22", port_range_max=22,
        remote_ip_prefix="10.0.0.7/8",
    ).json["security_group_rule"]  # fmt: skip
    assert (rule["protocol"], rule["port_range_min"], rule["ethertype"]) == ("tcp", 22, "IPv4")
    assert rule["remote_ip_prefix"] == rule["normalized_cidr"] == "10.0.0.0/8"
    again = add_rule(
        alice, web, protocol="tcp", port_range_min=22, port_range_max=22,
        remote_ip_prefix="10.0.0.0/8",
    )  # fmt: skip
    assert rule["id"] in refused(again, 409, "SecurityGroupRuleExists")
    shown = alice.get(f"{V2}/security-groups/{web['id']}").json["security_group"]
    assert rule["id"] in [each["id"] for each in shown["security_group_rules"]]
    assert shown["revision_number"] == 1
    path = f"{V2}/security-group-rules/{rule['id']}"
    assert alice.delete(path).status_code == 204
    refused(alice.get(path), 404, "SecurityGroupRuleNotFound")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"protocol": "carrier-pigeon"}, "SecurityGroupInvalidProtocol"),
        ({"protocol": "256"}, "SecurityGroupInvalidProtocol"),
        ({"protocol": "tcp\n"}, "SecurityGroupInvalidProtocol"),
        ({"protocol": "tcp", **ports(5, 4)}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "port_range_min": 5}, "SecurityGroupInvalidPortRange"),
        ({"protocol": 6, **ports(0, 4)}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "gre", **ports(5, 6)}, "SecurityGroupInvalidPortRange"),
        ({**ports(5, 6)}, "SecurityGroupProtocolRequiredWithPorts"),
        *(
            ({"protocol": each, "ethertype": "IPv4"}, "SecurityGroupEthertypeConflictWithProtocol")
            for each in ("icmpv6", "ipv6-icmp", "IPv6-ICMP", 58, "058", "ipv6-encap", 44)
        ),
        ({"protocol": "icmp", "port_range_max": 6}, "SecurityGroupMissingIcmpType"),
        ({"protocol": "icmp", "port_range_min": 256}, "SecurityGroupInvalidIcmpValue"),
        ({"remote_ip_prefix": "fd00::/8"}, "SecurityGroupRuleParameterConflict"),
        ({"remote_ip_prefix": "; reboot"}, "SecurityGroupRuleParameterConflict"),
        (
            {"ethertype": "IPv6", "remote_ip_prefix": "fe80::1%\n-A INPUT -j ACCEPT"},
            "SecurityGroupRuleParameterConflict",
        ),
        (
            {"ethertype": "IPv6", "remote_ip_prefix": "10.0.0.0/8"},
            "SecurityGroupRuleParameterConflict",
        ),
        ({"direction": "sideways"}, "HTTPBadRequest"),
        ({"ethertype": "IPX"}, "HTTPBadRequest"),
        ({"protocol": "tcp", **ports(70000, 70001)}, "HTTPBadRequest"),
        ({"port_range_min": [22]}, "HTTPBadRequest"),
        ({"colour": "blue"}, "HTTPBadRequest"),
        ({"security_group_id": "default"}, "HTTPBadRequest"),
    ],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(alice, web, values, fault, refused):
    refused(add_rule(alice, web, **values), 400, fault)


def test_a_rule_names_a_prefix_or_a_group(alice, web, refused):
    answer = add_rule(alice, web, remote_group_id=web["id"], remote_ip_prefix="10.0.0.0/8")
    refused(answer, 400, "SecurityGroupRemoteGroupAndRemoteIpPrefix")
    assert add_rule(alice, web, remote_group_id=web["id"]).status_code == 201


def test_other_projects_groups_are_absent(alice, bob, web, refused):
    path = f"{V2}/security-groups/{web['id']}"
    refused(bob.get(path), 404, "SecurityGroupNotFound")
    refused(bob.delete(path), 404, "SecurityGroupNotFound")
    refused(add_rule(bob, web), 404, "SecurityGroupNotFound")
    mine = make(bob, "security_group", name="mine")
    refused(add_rule(bob, mine, remote_group_id=web["id"]), 404, "SecurityGroupNotFound")
    rule = web["security_group_rules"][0]
    path = f"{V2}/security-group-rules/{rule['id']}"
    refused(bob.get(path), 404, "SecurityGroupRuleNotFound")
    refused(bob.delete(path), 404, "SecurityGroupRuleNotFound")
    assert web["id"] not in [group["id"] for group in groups(bob)]


def test_a_deleted_group_takes_the_rules_that_name_it(alice, web):
    other = make(alice, "security_group", name="other")
    rule = add_rule(alice, web, remote_group_id=other["id"]).json["security_group_rule"]
    assert alice.delete(f"{V2}/security-groups/{other['id']}").status_code == 204
    assert alice.get(f"{V2}/security-group-rules/{rule['id']}").status_code == 404


def test_readers_only_read(rita, alice, web, refused):
    assert web["id"] in [group["id"] for group in groups(rita)]
    refused(add_rule(rita, web), 403, "PolicyNotAuthorized")
    refused(rita.delete(f"{V2}/security-groups/{web['id']}"), 403, "PolicyNotAuthorized")


def stateless(alice):
    body = {"security_group": {"name": "x", "stateful": False}}
    return alice.post(f"{V2}/security-groups", json=body).json["security_group"]


def test_a_stateless_group_shares_no_port_with_a_stateful_one(alice, web, refused, private):
    group = stateless(alice)
    assert group["stateful"] is False
    port = {"network_id": private["id"], "security_groups": [group["id"], web["id"]]}
    refused(alice.post(f"{V2}/ports", json={"port": port}), 409, "SecurityGroupConflict")
    port["security_groups"] = [group["id"]]
    made = alice.post(f"{V2}/ports", json={"port": port}).json["port"]
    both = {"port": {"security_groups": [group["id"], web["id"]]}}
    refused(alice.put(f"{V2}/ports/{made['id']}", json=both), 409, "SecurityGroupConflict")
    url, change = f"{V2}/security-groups/{group['id']}", {"security_group": {"stateful": True}}
    refused(alice.put(url, json=change), 409, "SecurityGroupInUse")
    alice.delete(f"{V2}/ports/{made['id']}")
    assert alice.put(url, json=change).json["security_group"]["stateful"] is True


def test_rules_are_filtered(alice, web):
    add_rule(alice, web, protocol="tcp", port_range_min=22, port_range_max=22)
    query = f"?security_group_id={web['id']}&direction=ingress&port_range_min=22"
    rules = alice.get(f"{V2}/security-group-rules{query}").json["security_group_rules"]
    assert [rule["protocol"] for rule in rules] == ["tcp"]
