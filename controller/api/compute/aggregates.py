"""Host aggregates: there are none in this release; `openstack hypervisor show` asks for them."""

from controller.api.common.calls import Call, Reply


def list_aggregates(_call: Call) -> Reply:
    """Answer the empty list, which is true while nothing can make an aggregate."""
    return Reply({"aggregates": []})
