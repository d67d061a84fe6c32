"""Addresses: which one counts, for limits, lock-out, key lists and logs. Pure functions."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from oms.errors import ValidationError

Network = IPv4Network | IPv6Network
GROUP_BITS = 64  # of an IPv6 address: one customer's network has so many for itself
HOPS_MAX = 32
HOP = re.compile(r"(?P<v4>[0-9.]+)(:[0-9]{1,5})?|\[(?P<v6>[^\]]+)\](:[0-9]{1,5})?")


def networks_in(field: str, text: str) -> tuple[Network, ...]:
    """The networks of a setting, separated by commas; ValidationError names the first mistake."""
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ip_network(item))
        except ValueError:
            expected = "addresses or networks such as 192.0.2.0/24"
            raise ValidationError(field, item, expected) from None
    return tuple(found)


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as it is written, an IPv4 address in its IPv6 form as what it is; else None."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def read_hop(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a proxy says its request came from; some add the port: 192.0.2.1:443,
    [2001:db8::1]:443. None if it is no address."""
    found = HOP.fullmatch(text.strip())
    return read_address((found["v4"] or found["v6"]) if found is not None else text)


def is_among(text: str, networks: Iterable[Network]) -> bool:
    address = read_address(text)
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Whose request it is: the last address that no trusted proxy has.

    peer: who has connected. forwarded: the X-Forwarded-For headers, in their order. What a proxy
    adds stands last, so it is read from there; what stands before the first address that is not
    trusted, a client may have made up. None trusted, or what it adds is no address: the peer, or
    the last one that was read.
    """
    found = _plain(peer)
    hops = [hop for header in forwarded for hop in header.split(",")][-HOPS_MAX:]
    while hops and is_among(found, trusted):
        hop = read_hop(hops.pop())
        if hop is None:
            break
        found = str(hop)
    return found


def _plain(text: str) -> str:
    address = read_address(text)
    return text if address is None else str(address)


def client_of(text: str) -> str:
    """What is counted as one address: an IPv4 address, or the /64 of an IPv6 address."""
    address = read_address(text)
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address) >> GROUP_BITS << GROUP_BITS, GROUP_BITS)))
    return _plain(text)
