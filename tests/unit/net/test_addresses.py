"""The table of addresses, and the forms in which IPv6 carries IPv4."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhook.net.addresses import Tier, tier_of


@pytest.mark.parametrize("text", ["1.1.1.1", "52.94.133.131", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "9.9.9.9"])
def test_the_internet_is_public(text: str) -> None:
    assert tier_of(ip_address(text)) is Tier.PUBLIC


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255", "fd12::1"]
)
def test_networks_of_ones_own_are_private(text: str) -> None:
    assert tier_of(ip_address(text)) is Tier.PRIVATE


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "127.255.0.1", "0.0.0.0", "0.1.2.3", "::1", "::"),
        *("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254", "fe80::1"),
        *("224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "ff02::1"),
        *("192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "2001:db8::1", "3fff::1", "192.0.0.192"),
        *("64:ff9b:1::808:808", "fec0::1", "5f00::1", "100::1", "4000::1"),
    ],
)
def test_loopback_link_local_metadata_and_whatever_is_no_ones_are_forbidden(text: str) -> None:
    assert tier_of(ip_address(text)) is Tier.FORBIDDEN


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("::ffff:127.0.0.1", Tier.FORBIDDEN),
        ("::ffff:100.64.0.1", Tier.PRIVATE),
        ("::ffff:8.8.8.8", Tier.PUBLIC),
        ("::169.254.169.254", Tier.FORBIDDEN),
        ("::ffff:0:10.0.0.1", Tier.PRIVATE),
        ("64:ff9b::a9fe:a9fe", Tier.FORBIDDEN),
        ("64:ff9b::8.8.8.8", Tier.PUBLIC),
        ("2002:7f00:1::", Tier.FORBIDDEN),
        ("2002:a00:1::1", Tier.PRIVATE),
        ("2002:808:808::1", Tier.PUBLIC),
    ],
)
def test_an_ipv4_address_inside_an_ipv6_address_counts(text: str, tier: Tier) -> None:
    assert tier_of(ip_address(text)) is tier


def test_of_a_teredo_address_both_the_server_and_the_client_count() -> None:
    def teredo(server: str, client: str) -> IPv6Address:
        return IPv6Address(0x20010000 << 96 | int(IPv4Address(server)) << 64 | (~int(IPv4Address(client)) & 0xFFFFFFFF))

    assert tier_of(teredo("8.8.8.8", "9.9.9.9")) is Tier.PUBLIC
    assert tier_of(teredo("8.8.8.8", "127.0.0.1")) is Tier.FORBIDDEN
    assert tier_of(teredo("10.0.0.1", "9.9.9.9")) is Tier.PRIVATE


@given(st.ip_addresses(v=4))
def test_wrapping_never_changes_the_tier(address: IPv4Address) -> None:
    number = int(address)
    wrapped = [number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80]
    assert {tier_of(IPv6Address(each)) for each in wrapped} == {tier_of(address)}


@given(st.ip_addresses(v=4))
def test_what_python_knows_not_to_be_public_is_not(address: IPv4Address) -> None:
    assert tier_of(address) is not Tier.PUBLIC or not (address.is_private or address.is_multicast)
