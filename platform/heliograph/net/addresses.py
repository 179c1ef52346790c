"""Where a request of a project may go: to public addresses, and to networks that the installation allows.

Whoever may enter an address would otherwise have this server ask things of the network that it stands in.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 6052: an IPv4 address within an IPv6 one, as NAT64 gateways translate it.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenAddressError(Exception):
    """An address that nothing is sent to; the text says why and what allows it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Networks that are allowed beside public addresses."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, networks: Sequence[str]) -> "Policy":
        """Return the policy of networks as text, such as 10.0.0.0/8. Raises ValueError."""
        return cls(tuple(ipaddress.ip_network(network, strict=False) for network in networks))


def judge(address: str, policy: Policy) -> Ip:
    """Return the IP address if it may be gone to, judging the IPv4 address within an IPv6 one too.

    Link-local addresses (a cloud's metadata service is one), multicast and unspecified ones are never allowed.
    Raises ForbiddenAddressError.
    """
    ip = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    for meant in (ip, *_within(ip)):
        if meant.is_link_local or meant.is_multicast or meant.is_unspecified:
            raise ForbiddenAddressError(f"{ip} is link-local, multicast or unspecified: nothing is sent there.")
        allowed = any(meant.version == network.version and meant in network for network in policy.networks)
        embeds = isinstance(meant, ipaddress.IPv6Address) and bool(list(_within(meant)))
        if not (meant.is_global or allowed or embeds):
            raise ForbiddenAddressError(f"{ip} is no public address. HELIOGRAPH_OUTGOING_NETWORKS allows private ones.")
    return ip


def _within(ip: Ip) -> Iterator[ipaddress.IPv4Address]:
    if isinstance(ip, ipaddress.IPv4Address):
        return
    if ip.ipv4_mapped is not None:
        yield ip.ipv4_mapped
    if ip.sixtofour is not None:
        yield ip.sixtofour
    if ip.teredo is not None:
        yield from ip.teredo
    # RFC 4291's IPv4-compatible addresses too, which are no more used; what is lower is ::1 and the like.
    if ip in _NAT64 or 0xFFFF < int(ip) <= 0xFFFF_FFFF:
        yield ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
