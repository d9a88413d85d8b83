"""A player who has IPv6 alone, as most mobile carriers give it, and one who has IPv4 alone, in one match.

mobile player ── IPv6 ──┐
                        ├── server, bound to all its addresses
home player ──── IPv4 ──┘
"""

from __future__ import annotations

from typing import Final

from loadtest.bench.options import Options
from loadtest.bench.paths.case import Case, Figures
from loadtest.bench.paths.match import Place, playing
from loadtest.bench.paths.network import Network
from loadtest.bench.paths.player import Player, figures_of, run_frames

SECONDS: Final = 10.0
V4, V6 = "203.0.113.10", "2001:db8:1::10"


def play(options: Options, fault: str) -> Figures:
    """Play it. Fault ``ipv4``: the server is bound to its IPv4 address alone."""
    with Network() as network:
        server, mobile, home = network.host("server"), network.host("mobile"), network.host("home")
        network.join(server, f"{V6}/64", mobile, "2001:db8:1::2/64")
        network.join(server, f"{V4}/24", home, "203.0.113.2/24")
        place = Place(V4 if fault == "ipv4" else "::", V6, 2)
        with playing(server, place) as match:
            players = [Player(match.tokens[0], mobile, 2)]
            began_s, ended_s = run_frames(players, options.seconds or SECONDS)
        return figures_of(players, began_s, ended_s) | {"dropped": match.counted["drops"]}


CASE = Case(
    "ipv6_only",
    play,
    at_least={"joined": 1, "connected_at_end": 1, "snapshots_a_second": 30.0},
    at_most={"join_s": 2.0},
    faults=("ipv4",),
)
