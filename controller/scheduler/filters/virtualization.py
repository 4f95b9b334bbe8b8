"""Hosts whose processor and hypervisor are what the image was built for.

Follows the image properties filter of OpenStack Nova: `hw_architecture`, `img_hv_type`. An image
that says nothing fits everywhere; so does a host whose facts don't tell.
"""

from controller.scheduler.spec import Candidate, RequestSpec

# What images call an architecture, where it isn't the name that the kernel has.
ALIASES = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64", "i386": "i686"}
# QEMU and KVM run the same guests.
HYPERVISORS = frozenset({"qemu", "kvm"})


class Virtualization:
    def passes(self, candidate: Candidate, spec: RequestSpec) -> bool:
        wanted = str(spec.image_properties.get("hw_architecture") or "").lower()
        offered = str(candidate.host.facts.get("architecture") or "").lower()
        if wanted and offered and ALIASES.get(wanted, wanted) != ALIASES.get(offered, offered):
            return False
        hypervisor = str(spec.image_properties.get("img_hv_type") or "").lower()
        return not hypervisor or hypervisor in HYPERVISORS
