"""The files a lab host is made of."""

from lab.host_files import PERSISTENT, boot_files, etc_hosts, first_boot_files
from lab.record import LabRecord

RECORD = LabRecord("demo", 4).with_host("h1", None).with_host("h2", None)


def test_every_host_knows_all_hosts_by_name() -> None:
    assert etc_hosts(RECORD).splitlines() == [
        "127.0.0.1 localhost",
        "10.90.4.11 h1",
        "10.90.4.12 h2",
    ]


def test_a_host_gets_the_operators_public_key_and_no_private_one() -> None:
    files = first_boot_files(RECORD.names.host_uuid("h1"), "ssh-ed25519 AAAA operator")
    assert files["root/.ssh/authorized_keys"].text == "ssh-ed25519 AAAA operator\n"
    assert [path for path in files if path.startswith("root/")] == ["root/.ssh/authorized_keys"]
    assert not any("PRIVATE KEY" in file.text for file in files.values())


def test_two_hosts_differ_in_machine_id_and_libvirt_uuid() -> None:
    ids = {boot_files(RECORD, name)["etc/machine-id"].text for name in ("h1", "h2")}
    assert len(ids) == 2
    names = RECORD.names
    confs = {
        first_boot_files(names.host_uuid(name), "key")["etc/libvirt/libvirtd.conf"].text
        for name in ("h1", "h2")
    }
    assert len(confs) == 2


def test_both_machine_ids_of_a_host_are_the_same() -> None:
    files = boot_files(RECORD, "h1")
    assert files["etc/machine-id"] == files["var/lib/dbus/machine-id"]


def test_services_can_be_executed() -> None:
    files = boot_files(RECORD, "h1")
    runs = {path: file.mode for path, file in files.items() if path.startswith("run/service/")}
    assert set(runs) == {f"run/service/{name}/run" for name in ("libvirtd", "virtlogd", "sshd")}
    assert set(runs.values()) == {0o755}


def test_what_a_play_did_to_keys_and_accounts_outlives_a_power_failure() -> None:
    assert "root/.ssh/authorized_keys" not in boot_files(RECORD, "h1")
    assert {"root/.ssh", "usr/local/lib/novella"} <= set(PERSISTENT)
