"""Where requests may go."""

import pytest

from heliograph.net.addresses import ForbiddenAddressError, Policy, judge

NOBODY = Policy()
OWN = Policy.of(["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16"])


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert str(judge(address, NOBODY))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "::1", "10.0.0.5", "192.168.1.1", "172.16.0.1", "100.64.0.1", "0.0.0.0", "255.255.255.255"),
        *("169.254.169.254", "fe80::1%eth0", "fc00::1", "224.0.0.1", "ff02::1", "::", "192.0.0.1", "198.18.0.1"),
        # An IPv4 address within: mapped, NAT64, 6to4, Teredo's server and client.
        *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "::127.0.0.1"),
    ],
)
def test_no_other_address_is(address: str) -> None:
    with pytest.raises(ForbiddenAddressError):
        judge(address, NOBODY)


def test_the_installation_may_allow_networks_but_never_the_metadata_service() -> None:
    assert str(judge("10.1.2.3", OWN)) == "10.1.2.3"
    assert str(judge("::ffff:127.0.0.1", OWN))
    for address in ("192.168.1.1", "169.254.169.254", "64:ff9b::a9fe:a9fe"):
        with pytest.raises(ForbiddenAddressError):
            judge(address, OWN)
