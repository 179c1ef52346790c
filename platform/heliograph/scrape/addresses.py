"""Where a scrape may go.

Whoever may add targets makes this server send requests into its network. So an address is resolved once, each of its
IP addresses is judged as `heliograph.net` judges what else a project has us ask, and the connection is made to the
judged one, not to whatever the name means a moment later. Private networks are allowed: that is where engines are.
Loopback is only where `HELIOGRAPH_SCRAPE_LOOPBACK` says so.
"""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

from heliograph.net import addresses
from heliograph.net.addresses import ForbiddenAddressError, Ip

__all__ = ["ForbiddenAddressError", "Policy", "UnknownHostError", "judge", "resolve"]

# RFC 1918, 6598 (carriers' and some clouds' own) and 4193.
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_WITHOUT_LOOPBACK = addresses.Policy.of(_PRIVATE)
_ALL = addresses.Policy.of((*_PRIVATE, *_LOOPBACK))


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
    if ip.is_loopback and not policy.loopback:
        told = "is this server itself; HELIOGRAPH_SCRAPE_LOOPBACK=true allows it"
        raise ForbiddenAddressError(f"{ip} {told}: it is not scraped.")
    try:
        return addresses.judge(str(ip), _ALL if policy.loopback else _WITHOUT_LOOPBACK)
    except ForbiddenAddressError as error:
        told = "is link-local, as a cloud's metadata service is" if ip.is_link_local else "is no address of one machine"
        raise ForbiddenAddressError(f"{ip} {told}, or hides one that is not asked: it is not scraped.") from error


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
