"""Addresses of game servers as the settings have them: what servers bind, and what players are given.

One address, or one of each family with a comma between, for all regions; or for each region::

    203.0.113.10
    203.0.113.10,2001:db8::10
    west-europe=203.0.113.10,2001:db8::10,east-us=198.51.100.7
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

ALL_REGIONS = ""
_UNFIT = frozenset(" \t/=@")
Hosts = dict[str, tuple[str, ...]]


def parse_hosts(text: str, most: int) -> Hosts:
    """The hosts by region, under `ALL_REGIONS` those of all others; {} for an empty text.

    ``most``: hosts that one region may have. Raises ValueError with a text that says what is wrong.
    """
    found: dict[str, list[str]] = {}
    region = ALL_REGIONS
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, host = part.rpartition("=")
        if equals:
            region = name.strip()
            if not region or region in found:
                raise ValueError(f"{part!r:.60} is not region=address of a region that is named once")
        found.setdefault(region, []).append(_host(host.strip(), part))
    for name, hosts in found.items():
        families = [_family(host) for host in hosts]
        if len(hosts) > most or (len(hosts) == 2 and families[0] is not None and families[0] == families[1]):
            wanted = "one address" if most == 1 else "one address of each family"
            raise ValueError(f"{','.join(hosts):.90} is not {wanted}{f' of {name}' if name else ''}")
    return {name: tuple(hosts) for name, hosts in found.items()}


def why_not_these_regions(hosts: Hosts, regions: Sequence[str]) -> str | None:
    """Say which region has no host, or is none of ``regions``; None where all is well."""
    named = [name for name in hosts if name != ALL_REGIONS]
    if unknown := [name for name in named if name not in regions]:
        return f"{unknown[0]!r:.60} is none of LAUNCHDAY_REGIONS: {', '.join(regions)}"
    if lacking := [name for name in regions if named and name not in named and ALL_REGIONS not in hosts]:
        return f"has no address for {', '.join(lacking)}: name each region of LAUNCHDAY_REGIONS"
    return None


def hosts_in(hosts: Hosts, region: str) -> tuple[str, ...]:
    """The hosts of a region; () where there are none."""
    return hosts.get(region) or hosts.get(ALL_REGIONS, ())


def is_every_address(host: str) -> bool:
    """Whether it is no address of a machine, but stands for all that it has: ``0.0.0.0`` and ``::``."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def bind_error(host: str, port: int = 0) -> OSError | None:
    """Return the system's reason why no game server can have a UDP port of an address; None: one can."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            if probe.family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind((host, port))
    except OSError as error:
        return error
    return None


def own_address(bound: str) -> str:
    """The address by which this machine's network reaches a socket that is bound to ``bound``; "": none.

    For one that is bound to every address it is the one from which this machine would ask the internet; no
    datagram is sent for that.
    """
    if not is_every_address(bound):
        return bound
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((far, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return ""


def _host(host: str, part: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or _UNFIT.intersection(bare) or (":" in bare and _family(bare) is None):
        raise ValueError(f"{part!r:.60} is no address, nor a name: write it without a port")
    return bare


def _family(host: str) -> int | None:
    """4 or 6; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).version
    except ValueError:
        return None
