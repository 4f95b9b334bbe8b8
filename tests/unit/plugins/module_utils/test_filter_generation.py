"""The kernel's count of changes is read from its answer, and from nothing else."""

import struct

from ansible_collections.novella.cloud.plugins.module_utils import filter_generation

# As Linux 6.1 answers, with the process that changed the tables last.
ANSWER = (
    struct.pack("=IHHII", 48, 0x0A0F, 0, 1, 4711)
    + bytes.fromhex("00000009")
    + bytes.fromhex("0800010000000009")
    + bytes.fromhex("0800020000001267")
    + bytes.fromhex("0c000300")
    + b"iptable\0"
)


def test_the_count_stands_in_the_answer() -> None:
    assert filter_generation.parsed(ANSWER) == 9


def test_the_count_is_found_behind_other_attributes() -> None:
    name_first = ANSWER[:20] + ANSWER[36:48] + ANSWER[20:36]
    assert filter_generation.parsed(name_first) == 9


def test_an_error_is_no_count() -> None:
    refused = struct.pack("=IHHIIi", 36, 2, 0, 1, 4711, -1) + ANSWER[:16]
    assert filter_generation.parsed(refused) is None


def test_an_answer_without_the_count_is_none() -> None:
    without = struct.pack("=IHHII", 28, 0x0A0F, 0, 1, 4711) + ANSWER[16:20] + ANSWER[28:36]
    assert filter_generation.parsed(without) is None
