"""`domain_xml.py`, `domain_differences.py` and templates/libvirt_domain.xml.j2 together."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from ansible_collections.novella.cloud.plugins.module_utils import domain_xml, names
from ansible_collections.novella.cloud.plugins.module_utils.domain_differences import (
    differences,
    live_differences,
)
from tests.unit.plugins.module_utils.domain_files import (
    NETWORK_ID,
    PORT_ID,
    SERVER,
    rendered,
    server,
)

SCHEMA = "/usr/share/libvirt/schemas/domain.rng"
KVM = domain_xml.HostFit("kvm", "pc-i440fx-7.2", direct_io=True, spice=True)
TCG = domain_xml.HostFit("qemu", "pc-i440fx-7.2", direct_io=False, spice=False)


def fitted(host: domain_xml.HostFit, a_server: dict[str, Any], **variables: Any) -> ET.Element:
    root = domain_xml.parse(rendered(a_server, **variables), "xml")
    domain_xml.fit(root, host, None)
    return root


def full_server() -> dict[str, Any]:
    flavor = SERVER["flavor"] | {"ephemeral_gb": 1, "swap_mb": 64}
    return server(flavor=flavor, config_drive=True)


def disks(root: ET.Element) -> list[tuple[str, str, str]]:
    return [
        (
            Path(disk.find("source").get("file")).name,
            disk.find("target").get("dev"),
            disk.get("device"),
        )
        for disk in root.iterfind("devices/disk")
    ]


@pytest.mark.parametrize("host", [KVM, TCG])
@pytest.mark.parametrize("properties", [{}, {"hw_disk_bus": "scsi"}, {"hw_machine_type": "q35"}])
def test_fitted_definition_is_valid_by_libvirts_schema(
    host: domain_xml.HostFit, properties: dict[str, str]
) -> None:
    a_server = full_server()
    a_server["image"]["properties"] = properties
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    schema.assertValid(etree.fromstring(domain_xml.render(fitted(host, a_server))))


def test_every_auto_is_answered() -> None:
    for host in (KVM, TCG):
        assert '"auto"' not in domain_xml.render(fitted(host, full_server()))


def test_kvm_has_the_hosts_cpu_and_no_translation_cache() -> None:
    root = fitted(KVM, server())
    assert (root.get("type"), root.find("cpu").get("mode")) == ("kvm", "host-model")
    assert root.find("features/tcg") is None
    assert root.find("devices/disk/driver").get("cache") == "none"


@pytest.mark.parametrize("mode", ["auto", "host-model", "host-passthrough"])
def test_emulation_has_a_plain_cpu_and_a_bounded_translation_cache(mode: str) -> None:
    root = fitted(TCG, server(), compute_cpu_mode=mode)
    assert root.get("type") == "qemu"
    assert root.findtext("cpu/model") == "qemu64"
    cache = root.find("features/tcg/tb-cache")
    assert (cache.text, cache.get("unit")) == ("64", "MiB")
    assert root.find("devices/disk/driver").get("cache") == "writeback"


def test_named_cpu_model_is_taken_as_it_is() -> None:
    for host in (KVM, TCG):
        root = fitted(host, server(), compute_cpu_mode="Nehalem")
        assert root.find("cpu").get("mode") == "custom"
        assert root.findtext("cpu/model") == "Nehalem"


def test_spice_is_left_out_where_qemu_lacks_it() -> None:
    kinds = [
        [graphics.get("type") for graphics in fitted(host, server()).iterfind("devices/graphics")]
        for host in (KVM, TCG)
    ]
    assert kinds == [["vnc", "spice"], ["vnc"]]


def test_consoles_listen_on_the_host_alone_unless_told() -> None:
    def addresses(**variables: Any) -> set[str]:
        root = fitted(KVM, server(), **variables)
        return {one.get("address") for one in root.iterfind("devices/graphics/listen")}

    assert addresses() == {"127.0.0.1"}
    assert addresses(compute_vnc_listen="10.90.0.11") == {"10.90.0.11"}


def test_disks_are_there_as_the_flavor_says() -> None:
    assert disks(fitted(KVM, server())) == [("disk", "vda", "disk")]
    assert disks(fitted(KVM, full_server())) == [
        ("disk", "vda", "disk"),
        ("disk.local", "vdb", "disk"),
        ("disk.swap", "vdc", "disk"),
        ("disk.config", "hda", "cdrom"),
    ]


def test_buses_that_share_names_do_not_clash() -> None:
    a_server = full_server()
    a_server["image"]["properties"] = {"hw_disk_bus": "scsi", "hw_machine_type": "pc-q35-7.2"}
    devices = [device for _, device, _ in disks(fitted(KVM, a_server))]
    assert devices == ["sda", "sdb", "sdc", "sdd"]


def test_cdrom_is_on_sata_where_the_hosts_machine_has_no_ide() -> None:
    q35 = domain_xml.HostFit("kvm", "pc-q35-9.0", direct_io=True, spice=True)
    root = fitted(q35, full_server())
    assert disks(root)[-1] == ("disk.config", "sda", "cdrom")
    assert root.findall("devices/disk/target")[-1].get("bus") == "sata"


def test_iso_image_boots_as_a_cdrom() -> None:
    a_server = server(image=SERVER["image"] | {"format": "iso"})
    root = fitted(KVM, a_server)
    assert disks(root) == [("disk", "hda", "cdrom")]
    assert root.find("os/boot").get("dev") == "cdrom"


def test_interface_bears_the_names_and_mtu_of_its_network() -> None:
    interface = fitted(KVM, server()).find("devices/interface")
    assert interface.find("target").get("dev") == names.tap_name(PORT_ID)
    assert interface.find("source").get("bridge") == names.bridge_name(NETWORK_ID)
    assert interface.find("mtu").get("size") == "1450"


HOSTILE = [
    "{{ 7*7 }}",
    "{% for x in y %}",
    "</novella:name></metadata><devices><disk/>",
    "a'b\"c&d<e>f",
    "line\nbreak",
    "bell\x07 null\x00 \ufffe",
    "!!python/object:os.system",
    "日本 🐧",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_tenant_text_stays_text(text: str) -> None:
    a_server = server(name=text, flavor=SERVER["flavor"] | {"name": text}, project_id="p<1>")
    root = fitted(KVM, a_server)
    shown = root.findtext(f"metadata/{domain_xml.MARK}/{{{domain_xml.NAMESPACE}}}name")
    writable = "".join("?" if one in "\x07\x00\ufffe" else one for one in text)
    assert shown == writable
    assert len(root.findall("devices/disk")) == 1


@pytest.mark.parametrize("name", ["hw_disk_bus", "hw_vif_model", "hw_video_model", "hw_cdrom_bus"])
def test_hostile_image_property_adds_no_element(name: str) -> None:
    a_server = full_server()
    a_server["image"]["properties"] = {name: "x'/><hostdev mode=\"subsystem\"/><y z='"}
    plain, hostile = fitted(KVM, full_server()), fitted(KVM, a_server)
    assert len(list(hostile.iter())) == len(list(plain.iter()))


def test_mac_address_that_is_left_out_is_kept_by_tap() -> None:
    before = fitted(KVM, server())
    root = domain_xml.parse(rendered(server()), "xml")
    interface = root.find("devices/interface")
    interface.remove(interface.find("mac"))
    domain_xml.fit(root, KVM, before)
    assert interface.find("mac").get("address") == "fa:16:3e:00:00:01"


def test_definition_does_not_differ_from_itself() -> None:
    assert differences(fitted(KVM, full_server()), fitted(KVM, full_server())) == []


def test_units_are_no_difference() -> None:
    present = fitted(TCG, server())
    present.find("memory").text, present.find("memory").attrib = "131072", {"unit": "KiB"}
    present.find("features/tcg/tb-cache").text = "65536"
    present.find("features/tcg/tb-cache").set("unit", "KiB")
    assert differences(fitted(TCG, server()), present) == []


def test_what_libvirt_adds_is_no_difference() -> None:
    present = fitted(KVM, server())
    devices = present.find("devices")
    ET.SubElement(devices, "controller", {"type": "pci", "index": "0", "model": "pci-root"})
    ET.SubElement(devices, "input", {"type": "mouse", "bus": "ps2"})
    ET.SubElement(devices, "emulator").text = "/usr/bin/qemu-system-x86_64"
    ET.SubElement(devices.find("disk"), "address", {"type": "pci", "slot": "0x03"})
    ET.SubElement(present, "resource")
    assert differences(fitted(KVM, server()), present) == []


@pytest.mark.parametrize(
    ("path", "attribute", "value", "line"),
    [
        (
            "devices/disk/driver",
            "cache",
            "unsafe",
            "devices/disk[vda]/driver@cache: unsafe, wanted none",
        ),
        (
            "devices/interface/source",
            "bridge",
            "br0",
            "devices/interface[nvt9e0c4c528d1]/source@bridge: br0, wanted nvb7c1d9ab03f5",
        ),
        (
            "devices/graphics/listen",
            "address",
            "10.0.0.1",
            "devices/graphics[vnc]/listen@address: 10.0.0.1, wanted 127.0.0.1",
        ),
        (".", "type", "qemu", "@type: qemu, wanted kvm"),
    ],
)
def test_changed_attribute_is_named(path: str, attribute: str, value: str, line: str) -> None:
    present = fitted(KVM, server())
    present.find(path).set(attribute, value)
    assert differences(fitted(KVM, server()), present) == [line]


def test_device_too_many_and_too_few_are_named() -> None:
    small, large = fitted(KVM, server()), fitted(KVM, full_server())
    assert differences(large, small) == [
        "devices/disk[vdb]: missing",
        "devices/disk[vdc]: missing",
        "devices/disk[hda]: missing",
    ]
    assert differences(small, large) == [
        "devices/disk[vdb]: not wanted",
        "devices/disk[vdc]: not wanted",
        "devices/disk[hda]: not wanted",
    ]


def test_added_tuning_is_named() -> None:
    present = fitted(KVM, server())
    ET.SubElement(present, "cputune")
    ET.SubElement(present.find("devices"), "hostdev", {"mode": "subsystem"})
    assert differences(fitted(KVM, server()), present) == [
        "devices/hostdev: not wanted",
        "cputune: not wanted",
    ]


def test_sizes_that_can_change_are_no_difference_where_libvirt_and_the_guest_say_more() -> None:
    limits = {"vcpus": 2, "max_vcpus": 2, "memory_mb": 128, "max_memory_mb": 256}
    sized = server()
    sized["flavor"] = {**sized["flavor"], **limits}
    wanted = fitted(TCG, sized)
    assert [wanted.findtext(tag) for tag in ("memory", "currentMemory", "vcpu")] == [
        "256", "128", "2",
    ]  # fmt: skip
    live = fitted(TCG, sized)
    live.find("vcpu").set("current", "2")
    ET.SubElement(live, "vcpus")
    assert differences(wanted, live) == []
    live.find("currentMemory").text = "256"
    assert differences(wanted, live) == ["currentMemory: 256 MiB, wanted 128 MiB"]
    assert live_differences(wanted, live) == []
    live.find("vcpu").set("current", "1")
    assert live_differences(wanted, live) == ["vcpu@current: 1, wanted 2"]
