"""What an IP address is to us, by a table of our own.

`ipaddress.is_global` and `is_private` are no guard: they call `::ffff:100.64.0.1`, the NAT64 form of the metadata
address, multicast and 168.63.129.16 global, and differ between Python versions.
"""

from collections.abc import Sequence
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Tier(IntEnum):
    """What it takes to connect there, least first."""

    PUBLIC = 0
    PRIVATE = 1
    FORBIDDEN = 2


def tier_of(address: Address) -> Tier:
    """The tier of an address; of one that wraps others, the worst of those."""
    return max(_tier_of_plain(each) for each in unwrapped(address))


def unwrapped(address: Address) -> Sequence[Address]:
    """The IPv4 addresses that an IPv6 address carries, both of Teredo's; any other address as it is."""
    if isinstance(address, IPv4Address):
        return (address,)
    if address in _TEREDO:
        return (IPv4Address(int(address) >> 64 & _IPV4_BITS), IPv4Address(~int(address) & _IPV4_BITS))
    if address in _6TO4:
        return (IPv4Address(int(address) >> 80 & _IPV4_BITS),)
    if any(address in each for each in _IPV4_LAST):
        return (IPv4Address(int(address) & _IPV4_BITS),)
    return (address,)


def _tier_of_plain(address: Address) -> Tier:
    if any(address in each for each in _FORBIDDEN):
        return Tier.FORBIDDEN
    if any(address in each for each in _PRIVATE):
        return Tier.PRIVATE
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return Tier.FORBIDDEN
    return Tier.PUBLIC


_IPV4_BITS = 0xFFFF_FFFF
_TEREDO = IPv6Network("2001::/32")
_6TO4 = IPv6Network("2002::/16")
_IPV4_LAST = (
    IPv6Network("::/96"),  # IPv4-compatible; :: and ::1 become 0.0.0.0 and 0.0.0.1, as forbidden as they are
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated (RFC 2765)
    IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052)
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that is assigned of IPv6. The rest (loopback, link-local, multicast, local-use NAT64 64:ff9b:1::/48, whose IPv4
part lies where each network likes) is forbidden, but for the private ranges."""

_PRIVATE: tuple[Network, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),  # carrier-grade NAT
    IPv6Network("fc00::/7"),  # unique local
)
_FORBIDDEN: tuple[Network, ...] = (
    IPv4Network("0.0.0.0/8"),  # "this host": Linux connects to itself
    IPv4Network("127.0.0.0/8"),  # loopback
    IPv4Network("169.254.0.0/16"),  # link-local, with most clouds' metadata
    IPv4Network("100.100.100.200"),  # metadata: Alibaba
    IPv4Network("168.63.129.16"),  # metadata: Azure
    IPv6Network("fd00:ec2::/32"),  # metadata: AWS
    IPv6Network("fd20:ce::254"),  # metadata: Google
    IPv6Network("fd00:c1::a9fe:a9fe"),  # metadata: Oracle
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.0.2.0/24"),  # documentation
    IPv4Network("198.51.100.0/24"),  # documentation
    IPv4Network("203.0.113.0/24"),  # documentation
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv4Network("198.18.0.0/15"),  # benchmarks
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("240.0.0.0/4"),  # reserved, and broadcast
    IPv6Network("2001::/23"),  # protocol assignments, benchmarks
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("3fff::/20"),  # documentation
)
