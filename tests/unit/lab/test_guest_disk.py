"""Where the tiny guest's partitions lie."""

from lab.guest_disk import BOOT_MB, MIB, ROOT_MB, partition_table


def test_partitions_follow_each_other_without_a_gap_or_overlap() -> None:
    lines = [line for line in partition_table().splitlines() if line.startswith("start=")]
    fields = [dict(pair.split("=") for pair in line.split(",") if "=" in pair) for line in lines]
    boot, root = ((int(f["start"]), int(f["size"])) for f in fields)
    assert boot == (2048, BOOT_MB * MIB // 512)
    assert root == (boot[0] + boot[1], ROOT_MB * MIB // 512)
