"""An address translator that forgets its players every 20 s: what they send next leaves by other ports.

players ── home router (NAT) ── server
"""

from __future__ import annotations

import time
from typing import Final

from loadtest.bench.options import Options
from loadtest.bench.paths.case import Case, Figures
from loadtest.bench.paths.changes import Changes
from loadtest.bench.paths.match import Place, playing
from loadtest.bench.paths.network import Network
from loadtest.bench.paths.player import Player, figures_of, run_frames

PLAYERS: Final = 4
SECONDS: Final = 64.0
EVERY_S: Final = 20.0
SERVER, ROUTER = "203.0.113.10", "203.0.113.99/24"
BY_ADDRESS: Final = "by_address"


def play(options: Options, fault: str) -> Figures:
    """Play it. Fault ``by_address``: the server is sent no connection id that it could go by."""
    count, seconds = options.players or PLAYERS, options.seconds or SECONDS
    every_s = min(EVERY_S, seconds / 3.0)
    with Network() as network:
        server, home, player = (network.host(name) for name in ("server", "home", "player"))
        network.join(server, f"{SERVER}/24", home, ROUTER)
        network.join(home, "192.168.1.1/24", player, "192.168.1.2/24")
        home.forward()
        player.route("default", "192.168.1.1")
        home.masquerade("to-server", other_ports=True)
        with playing(server, Place(SERVER, (SERVER,), count)) as match:
            players = [Player(token, player, count) for token in match.tokens]
            changes, next_s = Changes(players), 0.0

            def each_frame(now_s: float) -> None:
                nonlocal next_s
                next_s = next_s or now_s + every_s
                if now_s >= next_s:
                    next_s = now_s + every_s
                    home.forget_flows("to-server", ROUTER)
                    changes.of_network(time.monotonic())
                    for each in players if fault == BY_ADDRESS else ():
                        each.sessions.sessions["connection_tag"] = 0

            began_s, ended_s = run_frames(players, seconds, each_frame)
        moves = match.counted["counters"]["moves"]
        return {
            **figures_of(players, began_s, ended_s),
            **changes.figures(ended_s),
            "moves": moves,
            "dropped": match.counted["drops"],
        }


CASE = Case(
    "nat_forgets",
    play,
    at_least={"joined": PLAYERS, "connected_at_end": PLAYERS, "changes": PLAYERS, "moves": PLAYERS},
    at_most={"back_p95_s": 1.0, "lost": 0},
    faults=(BY_ADDRESS,),
)
