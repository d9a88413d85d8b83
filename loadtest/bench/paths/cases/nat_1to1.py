"""A server behind a 1:1 NAT, as in a cloud: its address is on no interface of its machine.

player ── home router (NAT) ── internet ── cloud router (1:1 NAT) ── server
"""

from __future__ import annotations

from typing import Final

from loadtest.bench.options import Options
from loadtest.bench.paths.case import Case, Figures
from loadtest.bench.paths.match import Place, playing
from loadtest.bench.paths.network import Host, Network
from loadtest.bench.paths.player import Player, figures_of, run_frames

PLAYERS: Final = 4
SECONDS: Final = 10.0
PUBLIC, PRIVATE = "203.0.113.10", "10.0.0.10"


def cloud(network: Network, *, hairpin: bool = True) -> tuple[Host, Host]:
    """Build the network above; return the server's host and the player's.

    ``hairpin``: whether the cloud's router brings back what its own network sends to the public address.
    """
    server, router = network.host("server"), network.host("cloud")
    home, player = network.host("home"), network.host("player")
    inside = network.join(router, "10.0.0.1/24", server, f"{PRIVATE}/24")[0]
    outside = network.join(home, "203.0.113.99/24", router, f"{PUBLIC}/24")[0]
    network.join(home, "192.168.1.1/24", player, "192.168.1.2/24")
    for each in (router, home):
        each.forward()
    server.route("default", "10.0.0.1")
    player.route("default", "192.168.1.1")
    router.map_one_to_one(PUBLIC, PRIVATE)
    if not hairpin:
        router.run("iptables", "-w", "-A", "FORWARD", "-i", inside, "-o", inside, "-j", "DROP")
    home.masquerade(outside)
    return server, player


def play(options: Options, fault: str) -> Figures:
    """Play it. Fault ``private``: players are given the address that the server is bound to."""
    count = options.players or PLAYERS
    with Network() as network:
        server, player = cloud(network)
        place = Place(PRIVATE, (PRIVATE if fault == "private" else PUBLIC,), count)
        with playing(server, place) as match:
            players = [Player(token, player, count) for token in match.tokens]
            began_s, ended_s = run_frames(players, options.seconds or SECONDS)
        return figures_of(players, began_s, ended_s) | {"dropped": match.counted["drops"]}


CASE = Case(
    "nat_1to1",
    play,
    at_least={"joined": PLAYERS, "connected_at_end": PLAYERS, "snapshots_a_second": 30.0},
    at_most={"join_s": 2.0},
    faults=("private",),
)
