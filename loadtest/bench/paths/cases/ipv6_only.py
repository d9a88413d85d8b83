"""Players with IPv6 alone, with IPv4 alone and with both, in one match: the server has one socket, and each
token names both of its addresses.

mobile player ── IPv6 ──┐
both ──── IPv4, IPv6 ───┼── internet ── server, bound to all its addresses
home player ──── IPv4 ──┘
"""

from __future__ import annotations

from typing import Final

from loadtest.bench.options import Options
from loadtest.bench.paths.case import Case, Figures
from loadtest.bench.paths.match import Place, playing
from loadtest.bench.paths.network import Network
from loadtest.bench.paths.player import Player, figures_of, run_frames

PLAYERS: Final = 3
SECONDS: Final = 10.0
V4, V6 = "203.0.113.10", "2001:db8:10::1"


def play(options: Options, fault: str) -> Figures:
    """Play it.

    Faults: ``bound_to_ipv4``: the server is bound to IPv4 alone; ``named_once``: tokens have one address.
    """
    with Network() as network:
        server, internet = network.host("server"), network.host("internet")
        mobile, both, home = (network.host(name) for name in ("mobile", "both", "home"))
        network.join(server, (f"{V4}/24", f"{V6}/64"), internet, ("203.0.113.1/24", "2001:db8:10::ff/64"))
        network.join(internet, "2001:db8:1::1/64", mobile, "2001:db8:1::2/64")
        homes = ("198.51.100.2/24", "2001:db8:2::2/64")
        network.join(internet, ("198.51.100.1/24", "2001:db8:2::1/64"), both, homes)
        network.join(internet, "192.0.2.1/24", home, "192.0.2.2/24")
        internet.forward()
        for host, via in (
            (server, ("203.0.113.1", "2001:db8:10::ff")),
            (mobile, ("2001:db8:1::1",)),
            (both, ("198.51.100.1", "2001:db8:2::1")),
            (home, ("192.0.2.1",)),
        ):
            for router in via:
                host.route("default", router)
        public = (V4,) if fault == "named_once" else (V4, V6)
        bound = "0.0.0.0" if fault == "bound_to_ipv4" else "::"
        with playing(server, Place(bound, public, PLAYERS)) as match:
            hosts = (mobile, both, home)
            players = [Player(token, host, PLAYERS) for token, host in zip(match.tokens, hosts, strict=True)]
            began_s, ended_s = run_frames(players, options.seconds or SECONDS)
        return figures_of(players, began_s, ended_s) | {"dropped": match.counted["drops"]}


CASE = Case(
    "ipv6_only",
    play,
    at_least={"joined": PLAYERS, "connected_at_end": PLAYERS, "snapshots_a_second": 30.0},
    at_most={"join_s": 2.0},
    faults=("bound_to_ipv4", "named_once"),
)
