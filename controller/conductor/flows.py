"""All flows by the kind of their operation."""

from controller.conductor.dry_run import DryRun
from controller.conductor.host_adopt import HostAdopt
from controller.conductor.image_prefetch import ImagePrefetch
from controller.conductor.network_update import NetworkUpdate
from controller.conductor.port_update import PortUpdate
from controller.conductor.power import FLOWS as POWER
from controller.conductor.server_cleanup import ServerCleanup
from controller.conductor.server_converge import ServerConverge
from controller.conductor.server_create import ServerCreate
from controller.conductor.server_delete import ServerDelete
from controller.conductor.server_evacuate import ServerEvacuate
from controller.conductor.server_images import FLOWS as IMAGES
from controller.conductor.server_interfaces import FLOWS as INTERFACES
from controller.conductor.server_live_migrate import ServerLiveMigrate
from controller.conductor.server_live_resize import ServerLiveResize
from controller.conductor.server_metadata import UpdateMetadata
from controller.conductor.server_rebuild import ServerRebuild
from controller.conductor.server_rescue import FLOWS as RESCUE
from controller.conductor.server_resize import ServerResize
from controller.conductor.server_resize_end import ConfirmResize, RevertResize
from controller.conductor.server_shelve import FLOWS as SHELVE
from controller.conductor.server_snapshots import FLOWS as SNAPSHOTS
from controller.conductor.steps import Flow

FLOWS: dict[str, Flow] = {
    flow.kind: flow
    for flow in (
        ServerCreate(),
        ServerDelete(),
        *POWER,
        *INTERFACES,
        ServerConverge(),
        ServerRebuild(),
        *RESCUE,
        *IMAGES,
        *SHELVE,
        ServerResize(),
        ServerEvacuate(),
        ConfirmResize(),
        RevertResize(),
        ServerLiveResize(),
        *SNAPSHOTS,
        ServerLiveMigrate(),
        ServerCleanup(),
        HostAdopt(),
        PortUpdate(),
        NetworkUpdate(),
        ImagePrefetch(),
        UpdateMetadata(),
        DryRun(),
    )
}
# Kinds that don't wait for other operations of their server, nor keep them waiting.
UNORDERED = frozenset(kind for kind, flow in FLOWS.items() if not flow.ordered)
# Kinds of which a host has one under way at a time.
ONE_PER_HOST = frozenset(kind for kind, flow in FLOWS.items() if flow.one_per_host)
