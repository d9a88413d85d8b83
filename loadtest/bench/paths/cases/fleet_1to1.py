"""A whole backend behind a 1:1 NAT: players log in, queue and play from outside. The NAT does not bring back
to its own network what is sent there by its public address, as many do not.

player ── home router (NAT) ── internet ── cloud router (1:1 NAT) ── backend, its fleet and game servers
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from loadtest.bench.options import Options
from loadtest.bench.paths.backend import REGION, backend, seats
from loadtest.bench.paths.case import Case, Figures
from loadtest.bench.paths.cases.nat_1to1 import PRIVATE, PUBLIC, cloud
from loadtest.bench.paths.network import Network
from loadtest.bench.paths.player import Player, figures_of, run_frames

PLAYERS: Final = 2
SECONDS: Final = 5.0


def play(options: Options, _fault: str) -> Figures:
    """Play it."""
    with Network() as network, tempfile.TemporaryDirectory(prefix="launchday-paths-") as name:
        server, player = cloud(network, hairpin=False)
        folder = Path(name)
        settings = {
            "LAUNCHDAY_BIND_HOST": "0.0.0.0",
            "LAUNCHDAY_GAME_BIND": PRIVATE,
            "LAUNCHDAY_GAME_PUBLIC_HOST": PUBLIC,
            "LAUNCHDAY_REGIONS": REGION,
            "LAUNCHDAY_READY_PER_REGION": "1",
            "LAUNCHDAY_MAX_SERVERS": "2",
            "LAUNCHDAY_MATCH_PLAYERS": str(PLAYERS),
        }
        with backend(server, settings, folder) as running:
            tokens = seats(player, PUBLIC, PLAYERS, running, folder / "up.log")
            players = [Player(token, player, PLAYERS) for token in tokens]
            began_s, ended_s = run_frames(players, options.seconds or SECONDS)
            return figures_of(players, began_s, ended_s)


CASE = Case(
    "fleet_1to1",
    play,
    at_least={"joined": PLAYERS, "connected_at_end": PLAYERS, "snapshots_a_second": 10.0},
    at_most={"join_s": 5.0},
)
