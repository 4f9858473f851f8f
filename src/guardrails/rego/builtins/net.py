"""IP addresses and networks (CIDR), as Go's ``net`` package reads them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.operands import string
from guardrails.rego.values import RegoSet, from_key, sorted_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.values import Value

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_HOSTS: Final = 65_536
"""Addresses of the largest network that is expanded."""

_CLASSES: Final = ((0x80, 8), (0xC0, 16), (0xE0, 24))
"""The classes of IPv4: first bytes below, and the length of the prefix they have by default."""


def _address(text: str) -> Address | None:
    """The address; None if the text is none. An IPv4 address in IPv6 form is an IPv4 one."""
    if "%" in text:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def _network(text: str) -> Network:
    """The network, its host bits cleared.

    Raises:
        BuiltinError: the text is no CIDR address.
    """
    host, slash, length = text.partition("/")
    failure = BuiltinError(f"invalid CIDR address: {text}")
    if not slash or not (length.isascii() and length.isdigit()) or "%" in host:
        raise failure
    try:
        return ipaddress.ip_network(f"{host}/{int(length)}", strict=False)
    except ValueError:
        raise failure from None


def _contains(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def _overlap(outer: Value, part: Value) -> bool:
    network = _network(string(outer, 1))
    inner = string(part, 1)
    address = _address(inner)
    if address is not None:
        return _contains(network, address)
    try:
        other = _network(inner)
    except BuiltinError:
        message = f"not a valid textual representation of an IP address or CIDR: {inner}"
        raise BuiltinError(message) from None
    return _contains(network, other[0]) and _contains(network, other[-1])


@builtin("net.cidr_contains", arity=2)
def cidr_contains(network: Value, part: Value) -> Value:
    """Whether the network contains an address or another network."""
    return _overlap(network, part)


cidr_overlap = cidr_contains.named("net.cidr_overlap")


@builtin("net.cidr_intersects", arity=2)
def cidr_intersects(left: Value, right: Value) -> Value:
    """Whether two networks share an address."""
    one = _network(string(left, 1))
    two = _network(string(right, 1))
    return _contains(one, two[0]) or _contains(two, one[0])


@builtin("net.cidr_is_valid", arity=1)
def cidr_is_valid(network: Value) -> Value:
    """Whether the value is a network."""
    if type(network) is not str:
        return False
    try:
        _network(network)
    except BuiltinError:
        return False
    return True


@builtin("net.cidr_expand", arity=1)
def cidr_expand(network: Value) -> Value:
    """All addresses of a network."""
    found = _network(string(network, 1))
    if found.num_addresses > _MOST_HOSTS:
        message = f"{found} has more than {_MOST_HOSTS} addresses"
        raise BuiltinError(message)
    return RegoSet.of_keys({str(address) for address in found})


def _candidates(operand: Value, position: int) -> Iterator[tuple[Value, Value]]:
    """(network, index) for each network that the operand holds."""
    kind = type(operand)
    if kind is str:
        yield operand, operand
    elif kind is list:
        for place, item in enumerate(operand):
            yield _first(item, position), place
    elif kind is RegoSet:
        for item in operand:
            yield _first(item, position), item
    elif kind is dict:
        for key in sorted_keys(operand):
            yield _first(operand[key], position), from_key(key)


def _first(item: Value, position: int) -> Value:
    if type(item) is str:
        return item
    if type(item) is list and item:
        return item[0]
    message = f"operand {position}: element must be string or non-empty array"
    raise BuiltinError(message)


@builtin("net.cidr_contains_matches", arity=2)
def cidr_contains_matches(networks: Value, parts: Value) -> Value:
    """The pairs of indices of a network and a part that it contains."""
    return RegoSet(
        [outer_index, inner_index]
        for outer, outer_index in _candidates(networks, 1)
        for inner, inner_index in _candidates(parts, 2)
        if _overlap(outer, inner)
    )


@builtin("net.cidr_merge", arity=1)
def cidr_merge(networks: Value) -> Value:
    """The fewest networks that hold the same addresses."""
    if type(networks) not in (list, RegoSet):
        message = "operand must be an array"
        raise BuiltinError(message)
    interfaces = [_interface(item) for item in networks]
    merged: set[str] = set()
    for version in (4, 6):
        merged |= _merged([item for item in interfaces if item.version == version])
    return RegoSet.of_keys(set(merged))


Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def _interface(item: Value) -> Interface:
    """The network that an element means; a bare IPv4 address has the prefix of its class."""
    if type(item) is not str:
        message = "element must be string"
        raise BuiltinError(message)
    address = _address(item)
    if address is None:
        return ipaddress.ip_interface(str(_network(item)))
    if isinstance(address, ipaddress.IPv6Address):
        message = "IPv6 invalid: needs prefix length"
        raise BuiltinError(message)
    first = address.packed[0]
    length = next((size for end, size in _CLASSES if first < end), None)
    if length is None:
        message = f"{item} belongs to no class of networks: needs prefix length"
        raise BuiltinError(message)
    return ipaddress.ip_interface(f"{address}/{length}")


def _merged(interfaces: list[Interface]) -> set[str]:
    """The merged networks; one that met no other keeps its host bits, as in OPA."""
    ranges = sorted((int(item.network[-1]), int(item.network[0]), str(item)) for item in interfaces)
    groups: list[tuple[int, int, str | None]] = []
    for last, first, text in ranges:
        start, alone = first, True
        while groups and start - 1 <= groups[-1][0]:
            start = min(start, groups.pop()[1])
            alone = False
        groups.append((last, start, text if alone else None))
    result: set[str] = set()
    for last, first, kept in groups:
        if kept is not None:
            result.add(kept)
        elif interfaces[0].version == 4:  # noqa: PLR2004  # the version of IP
            blocks = ipaddress.summarize_address_range(
                ipaddress.IPv4Address(first), ipaddress.IPv4Address(last)
            )
            result.update(map(str, blocks))
        else:
            wide = ipaddress.summarize_address_range(
                ipaddress.IPv6Address(first), ipaddress.IPv6Address(last)
            )
            result.update(map(str, wide))
    return result
