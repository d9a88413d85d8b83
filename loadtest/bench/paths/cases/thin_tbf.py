"""A player behind a line that carries 30 kbit/s towards him, with five seconds of queue before it (tbf), and
one with a good line, in one match.

player ── 30 kbit/s ──┐
                      ├── internet ── server
other player ─────────┘
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from dedicated_server.protocol.fields import TICK_HZ
from loadtest.bench.options import Options
from loadtest.bench.paths.case import Case, Figures
from loadtest.bench.paths.match import Place, playing
from loadtest.bench.paths.network import Network
from loadtest.bench.paths.player import Player, figures_of, run_frames

PLAYERS: Final = 2
SECONDS: Final = 60.0
SETTLE_S: Final = 15.0  # for the server to find out what the line carries
KBIT_S: Final = 30.0
QUEUE_S: Final = 5.0
LEAST_HZ, MOST_HZ = 7.0, 45.0  # of snapshots over the thin line: 60 a second do not fit
SERVER: Final = "203.0.113.10"


def play(options: Options, fault: str) -> Figures:
    """Play it. How far one is behind: by the newest tick that the player with the good line has.

    Fault: ``wide``: the line carries everything, so nothing was tried.
    """
    seconds = options.seconds or SECONDS
    with Network() as network:
        server, internet = network.host("server"), network.host("internet")
        thin, good = network.host("thin"), network.host("good")
        network.join(server, f"{SERVER}/24", internet, "203.0.113.1/24")
        towards, _ = network.join(internet, "192.0.2.1/24", thin, "192.0.2.2/24")
        network.join(internet, "198.51.100.1/24", good, "198.51.100.2/24")
        internet.forward()
        for host, via in ((server, "203.0.113.1"), (thin, "192.0.2.1"), (good, "198.51.100.1")):
            host.route("default", via)
        if fault != "wide":
            internet.throttle(towards, KBIT_S, QUEUE_S)
        behind: list[tuple[float, int]] = []
        with playing(server, Place(SERVER, (SERVER,), PLAYERS)) as match:
            players = [Player(match.tokens[0], thin, PLAYERS), Player(match.tokens[1], good, PLAYERS)]

            def look(now_s: float) -> None:
                behind.append((now_s, players[1].newest_tick - players[0].newest_tick))

            began_s, ended_s = run_frames(players, seconds, look)
        settled_s = began_s + min(SETTLE_S, seconds / 4)
        heard = len(players[0].heard_between(settled_s, ended_s))
        late = np.array([float(ticks) for at_s, ticks in behind if at_s > settled_s] or [np.inf])
        return (
            figures_of(players, began_s, ended_s)
            | _behind(late)
            | {
                "thin_snapshots_a_second": round(heard / (ended_s - settled_s), 1),
            }
        )


def _behind(ticks: Any) -> dict[str, float]:
    ms = ticks * (1e3 / TICK_HZ)
    return {"behind_p50_ms": round(float(np.median(ms)), 1), "behind_max_ms": round(float(ms.max()), 1)}


CASE = Case(
    "thin_tbf",
    play,
    at_least={"joined": PLAYERS, "connected_at_end": PLAYERS, "thin_snapshots_a_second": LEAST_HZ},
    at_most={"behind_max_ms": 500.0, "thin_snapshots_a_second": MOST_HZ},
    faults=("wide",),
)
