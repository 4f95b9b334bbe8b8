"""Each network's connections are tracked in a zone of its own, whatever other networks have."""

from __future__ import annotations

from ansible_collections.novella.cloud.plugins.module_utils import (
    filter_base,
    filter_tables,
    network_rules,
)
from ansible_collections.novella.cloud.plugins.module_utils.filter_tables import IP4_RAW, IP6_RAW

# Beginnings that give the same zone, if it is free: they differ by 65535.
FIRST = "00000001-4f7e-4d5e-9b5c-0f4d4b5d6a11"
SECOND = "00010000-4f7e-4d5e-9b5c-0f4d4b5d6a11"


def with_zone(present: filter_tables.Tables, network_id: str) -> filter_tables.Tables:
    entries = network_rules.zone_entries(network_id, network_rules.zone(network_id, present))
    return filter_tables.written(present, filter_base.wanted(present, entries), {})


def empty() -> filter_tables.Tables:
    return {key: {} for key in filter_base.FIXED}


def test_networks_whose_ids_begin_alike_get_zones_of_their_own() -> None:
    present = with_zone(with_zone(empty(), FIRST), SECOND)
    zones = {network_rules.zone(each, present) for each in (FIRST, SECOND)}
    assert zones == {2, 3}
    for key in (IP4_RAW, IP6_RAW):
        assert present[key]["nv-zones"] == [
            "-i nvb000000014f7 -j CT --zone 2",
            "-i nvb000100004f7 -j CT --zone 3",
            # The others are of no interest to anybody.
            "-i nvb+ -j CT --notrack",
        ]


def test_a_zone_stays_while_the_network_does_and_is_free_afterwards() -> None:
    present = with_zone(with_zone(empty(), FIRST), SECOND)
    _, entries = network_rules.absent_tables(FIRST)
    present = filter_tables.written(present, filter_base.wanted(present, entries), {})
    assert network_rules.zone(SECOND, present) == 3
    assert network_rules.zone(FIRST, present) == 2


def test_a_zone_is_written_into_the_table_raw_before_what_looks_at_it() -> None:
    entries = network_rules.zone_entries(FIRST, 2)
    wanted = filter_base.wanted(empty(), entries)
    text = filter_tables.restore_text(IP4_RAW, wanted[IP4_RAW], {}, ["-I PREROUTING 1 -j nv-zones"])
    assert text.splitlines()[:3] == [
        *("*raw", ":nv-zones - [0:0]", "-A nv-zones -i nvb000000014f7 -j CT --zone 2")
    ]
    assert text.endswith("COMMIT\n")
