"""Names on a host fit the kernel's limits and refuse what is no id."""

from __future__ import annotations

import hashlib

import pytest

from ansible_collections.novella.cloud.plugins.module_utils import names

ID = "0123abcd-4567-89ab-cdef-0123456789ab"


@pytest.mark.parametrize("function", [names.bridge_name, names.veth_name, names.tap_name])
def test_interface_names_fit_the_kernels_15_characters(function):
    assert len(function(ID)) <= 15
    assert function(ID).endswith("0123abcd456")


@pytest.mark.parametrize(
    "function", [names.port_ingress_chain, names.port_egress_chain, names.network_chain]
)
def test_chain_names_fit_and_bear_our_prefix(function):
    assert len(function(ID)) <= 28
    assert function(ID).startswith("nv-")


def test_group_set_fits_ipsets_31_characters():
    assert len(names.group_set(ID)) <= 31


def test_base_image_is_named_by_the_sha1_of_the_image_id():
    assert names.base_image_name(ID) == hashlib.sha1(ID.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("bad", ["", "../../etc", "-j ACCEPT", ID.upper(), ID + "\n", None, 7])
def test_what_is_no_uuid_is_refused(bad):
    with pytest.raises(ValueError, match="no UUID"):
        names.tap_name(bad)
