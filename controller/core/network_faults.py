"""What the Network API refuses, one class per cause, named as Neutron names its error types.

The Network dialect shows the class's name as the fault's `type`; other dialects show the status.
"""

from controller.errors import BadRequest, Conflict, Forbidden, InUse, NotFound


class NetworkNotFound(NotFound):
    """Absent, or another project's and neither shared nor external."""


class SubnetNotFound(NotFound):
    pass


class PortNotFound(NotFound):
    pass


class SecurityGroupNotFound(NotFound):
    pass


class SecurityGroupRuleNotFound(NotFound):
    pass


class SubnetPoolNotFound(NotFound):
    pass


class AddressScopeNotFound(NotFound):
    pass


class RbacPolicyNotFound(NotFound):
    pass


class AgentNotFound(NotFound):
    pass


class TagNotFound(NotFound):
    pass


class ExtensionNotFound(NotFound):
    pass


class RouterNotFound(NotFound):
    pass


class RouterInterfaceNotFound(NotFound):
    """The router has no such port."""


class RouterInterfaceNotFoundForSubnet(NotFound):
    pass


class FloatingIPNotFound(NotFound):
    pass


class ExternalGatewayForFloatingIPNotFound(NotFound):
    """No router leads from the port's subnet to the floating IP's network."""


class BadNetworkRequest(BadRequest):
    """What Neutron has no name of its own for, and calls BadRequest."""


class SubnetMismatchForPort(BadRequest):
    """The port that is named has no address of the subnet that is named beside it."""


class InvalidRoutes(BadRequest):
    pass


class RoutesExhausted(BadRequest):
    """A router would have more routes than the cloud allows."""


class InvalidInput(BadRequest):
    """A value that fits its schema but not what it is about: an address outside of its subnet."""


class InvalidIpForNetwork(BadRequest):
    """None of the network's subnets has this address."""


class InvalidIpForSubnet(BadRequest):
    pass


class AllocationOnAutoAddressSubnet(BadRequest):
    """Guests make their own addresses there; none can be chosen."""


class InvalidAllocationPool(BadRequest):
    pass


class OutOfBoundsAllocationPool(BadRequest):
    pass


class PortSecurityAndIPRequiredForSecurityGroups(BadRequest):
    """Groups mean nothing on a port that isn't filtered."""


class SecurityGroupInvalidProtocol(BadRequest):
    pass


class SecurityGroupInvalidPortRange(BadRequest):
    pass


class SecurityGroupInvalidIcmpValue(BadRequest):
    pass


class SecurityGroupMissingIcmpType(BadRequest):
    pass


class SecurityGroupProtocolRequiredWithPorts(BadRequest):
    pass


class SecurityGroupRemoteGroupAndRemoteIpPrefix(BadRequest):
    pass


class SecurityGroupRuleParameterConflict(BadRequest):
    pass


class SecurityGroupEthertypeConflictWithProtocol(BadRequest):
    pass


class SubnetPoolDeleteError(BadRequest):
    """Subnets stand on it."""


class AddressScopeUpdateError(BadRequest):
    pass


class AddressScopePrefixConflict(BadRequest):
    """Another pool of the scope has some of the addresses."""


class SubnetAllocationError(BadRequest):
    """The pool has no room for it."""


class SubnetPoolQuotaExceeded(Conflict):
    pass


class NetworkInUse(InUse):
    pass


class SubnetInUse(InUse):
    pass


class PortInUse(InUse):
    """A server has the port."""


class PortBound(InUse):
    """The port works on a host now, which this change would contradict."""


class ServicePortInUse(InUse):
    """The port is the network's own, and goes with what it serves."""


class AddressScopeInUse(InUse):
    pass


class RbacPolicyInUse(InUse):
    """Ports of others are on the network by it."""


class ExternalNetworkInUse(InUse):
    """Routers or floating IPs have addresses of the network, so it stays external."""


class GatewayIpInUse(InUse):
    """A router answers at the subnet's gateway, so it can't change."""


class RouterInUse(InUse):
    pass


class RouterInterfaceInUseByFloatingIP(InUse):
    pass


class RouterInterfaceInUseByRoute(InUse):
    pass


class RouterExternalGatewayInUseByFloatingIp(InUse):
    pass


class FloatingIPPortAlreadyAssociated(InUse):
    """The port's address has a floating IP of this network already."""


class SecurityGroupInUse(InUse):
    pass


class SecurityGroupConflict(InUse):
    """A port is either tracked or not: its groups are all stateful, or none is."""


class PortSecurityPortHasSecurityGroup(InUse):
    """Filtering can't be turned off while the port has groups."""


class AddressPairAndPortSecurityRequired(Conflict):
    """Address pairs mean nothing on a port that isn't filtered."""


class InvalidSharedSetting(Conflict):
    """Other projects use the network by its being shared."""


class DefaultExternalNetworkExists(Conflict):
    """Another network is the way out where none is named."""


class AutoAllocationFailure(Conflict):
    """The cloud has not what a project's first network is made of."""


class FlatNetworkInUse(Conflict):
    """Another network holds this physical network."""


class VlanIdInUse(Conflict):
    """Another network holds this VLAN of the physical network."""


class TunnelIdInUse(Conflict):
    """Another network holds this id of the overlay."""


class NoNetworkAvailable(Conflict):
    """No id is left of those that the settings give out, or they give projects none."""


class IpAddressInUse(Conflict):
    pass


class MacAddressInUse(Conflict):
    pass


class IpAddressGenerationFailure(Conflict):
    """Every address of the pools is taken."""


class MacAddressGenerationFailure(Conflict):
    pass


class OverlappingAllocationPools(Conflict):
    pass


class GatewayConflictWithAllocationPools(Conflict):
    pass


class SecurityGroupDefaultAlreadyExists(Conflict):
    pass


class SecurityGroupCannotRemoveDefault(Conflict):
    pass


class SecurityGroupCannotUpdateDefault(Conflict):
    pass


class RbacPolicyAlreadyExists(Conflict):
    pass


class SecurityGroupRuleExists(Conflict):
    pass


class OverQuota(Conflict):
    """The project has as many of something as its quota allows."""


class NotAuthorized(Forbidden):
    """The network may be seen, but this caller may not put a port on it."""
