"""The kernel's count of changes to a host's packet filter.

nf_tables counts each change of any table of the network namespace, whoever makes it, so what was
read is still so while the count is. The older iptables keeps its tables elsewhere, uncounted.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct

from . import work

# <linux/netlink.h>, <linux/netfilter/nfnetlink.h> and nf_tables.h have these numbers.
NETLINK_NETFILTER = 12
NLM_F_REQUEST = 1
NFNL_SUBSYS_NFTABLES = 10
NFT_MSG_NEWGEN, NFT_MSG_GETGEN = 15, 16
NFTA_GEN_ID = 1

_MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_FAMILY = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_TIMEOUT_S = 1.0
# By these programs all our tables are read; ebtables' own has `nft` in its name.
_PROGRAMS = ("iptables-save", "ip6tables-save")


def current() -> int | None:
    """Return the count as it is; None where the tables aren't counted, or the kernel won't say."""
    if not is_counted():
        return None
    try:
        return _asked()
    except (OSError, struct.error):
        return None


def is_counted() -> bool:
    """Whether the host's iptables keeps its tables in nf_tables."""
    found = [shutil.which(program, path=work.TOOL_PATH) for program in _PROGRAMS]
    return all(path and "nft" in os.path.basename(os.path.realpath(path)) for path in found)


def _asked() -> int | None:
    kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN
    length = _MESSAGE.size + _FAMILY.size
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as kernel:
        kernel.settimeout(_TIMEOUT_S)
        kernel.bind((0, 0))
        kernel.send(_MESSAGE.pack(length, kind, NLM_F_REQUEST, 1, 0) + _FAMILY.pack(0, 0, 0))
        return parsed(kernel.recv(4096))


def parsed(answer: bytes) -> int | None:
    """Return the count in the kernel's `answer`, None when it is another message (an error)."""
    length, kind, *_ = _MESSAGE.unpack_from(answer)
    if kind != NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN:
        return None
    at = _MESSAGE.size + _FAMILY.size
    while at < length:
        size, name = _ATTRIBUTE.unpack_from(answer, at)
        if name == NFTA_GEN_ID:
            return int.from_bytes(answer[at + _ATTRIBUTE.size : at + size], "big")
        # Attributes start at multiples of four.
        at += max(-(-size // 4) * 4, _ATTRIBUTE.size)
    return None
