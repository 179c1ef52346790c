"""Where a scrape may go.

Whoever may add targets makes this server send requests into its network. So an address is resolved once, each of its
IP addresses is judged, and the connection is made to the judged one, not to whatever the name means a moment later.
Never allowed are link-local addresses (a cloud's metadata service is one), multicast and unspecified ones; loopback
only where `HELIOGRAPH_SCRAPE_LOOPBACK` says so. Private networks are allowed: that is where engines are.
"""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


class ForbiddenAddressError(Exception):
    """An address that is not scraped; the text says why."""


class UnknownHostError(Exception):
    """A name that cannot be resolved."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed beside public and private networks."""

    loopback: bool


def judge(address: str, policy: Policy) -> Ip:
    """Return the address. Raises ForbiddenAddressError."""
    ip = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    reason = ""
    if ip.is_loopback:
        reason = "" if policy.loopback else "is this server itself; HELIOGRAPH_SCRAPE_LOOPBACK=true allows it"
    elif ip.is_link_local:
        reason = "is link-local, as a cloud's metadata service is"
    elif ip.is_multicast or ip.is_unspecified or ip.is_reserved:
        reason = "is no address of one machine"
    if reason:
        raise ForbiddenAddressError(f"{ip} {reason}: it is not scraped.")
    return ip


async def resolve(host: str, port: int, policy: Policy) -> Ip:
    """Return the first address of a host, when all of them are allowed.

    Raises UnknownHostError or ForbiddenAddressError.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnknownHostError(f"The name {host} cannot be resolved.") from error
    if not found:
        raise UnknownHostError(f"The name {host} has no address.")
    judged = [judge(str(entry[4][0]), policy) for entry in found]
    return judged[0]
