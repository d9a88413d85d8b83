"""Players who leave their Wi-Fi, for a mobile network, and come home: with what they have, or started again.

phone ── home router (NAT) ──┐
      └─ carrier (NAT) ──────┴─ internet ── server
"""

from __future__ import annotations

from typing import Final

from loadtest.bench.options import Options
from loadtest.bench.paths.case import Case, Figures
from loadtest.bench.paths.changes import Changes
from loadtest.bench.paths.match import Place, playing
from loadtest.bench.paths.network import Network
from loadtest.bench.paths.player import Player, figures_of, run_frames

PLAYERS: Final = 4
SECONDS: Final = 24.0
EVERY_S: Final = 3.0
RESTARTS: Final = 3  # a player's client is started again at each change of this number
SERVER: Final = "198.51.100.10"
BY_ADDRESS: Final = "by_address"
WAYS: Final = (("to-home", "192.168.1.1"), ("to-carrier", "100.64.0.1"))


def play(options: Options, fault: str) -> Figures:
    """Play it. Fault ``by_address``: the server is sent no connection id that it could go by."""
    count, seconds = options.players or PLAYERS, options.seconds or SECONDS
    with Network() as network:
        server, internet, home, carrier, phone = (
            network.host(name) for name in ("server", "internet", "home", "carrier", "phone")
        )
        network.join(internet, "198.51.100.1/24", server, f"{SERVER}/24")
        network.join(internet, "203.0.113.1/25", home, "203.0.113.2/25")
        network.join(internet, "203.0.113.129/25", carrier, "203.0.113.130/25")
        network.join(home, "192.168.1.1/24", phone, "192.168.1.2/24")
        network.join(carrier, "100.64.0.1/24", phone, "100.64.0.2/24")
        for router, upstream in ((home, "203.0.113.1"), (carrier, "203.0.113.129")):
            router.forward()
            router.masquerade("to-internet")
            router.route("default", upstream)
        internet.forward()
        server.route("default", "198.51.100.1")
        phone.route("default", WAYS[0][1])
        with playing(server, Place(SERVER, (SERVER,), count)) as match:
            players = [Player(token, phone, count) for token in match.tokens]
            changes, next_s, number = Changes(players), 0.0, 0

            def each_frame(now_s: float) -> None:
                nonlocal next_s, number
                changes.frame()
                next_s = next_s or now_s + EVERY_S
                if now_s < next_s:
                    return
                next_s = now_s + EVERY_S
                number += 1
                (left, _), (taken, gateway) = WAYS[(number - 1) % 2], WAYS[number % 2]
                phone.set_up(left, False)
                phone.set_up(taken, True)
                phone.route("default", gateway)
                for place, each in enumerate(players):
                    if (number + place) % RESTARTS == 0:
                        each.restart(phone)
                    else:
                        each.move_to(phone)
                        if fault == BY_ADDRESS:
                            each.sessions.sessions["connection_tag"] = 0
                    changes.of_socket(each)

            began_s, ended_s = run_frames(players, seconds, each_frame)
        counters = match.counted["counters"]
        return {
            **figures_of(players, began_s, ended_s),
            **changes.figures(ended_s),
            "moves": counters["moves"],
            "reconnects": counters["reconnects"],
            "dropped": match.counted["drops"],
        }


CASE = Case(
    "wifi_to_mobile",
    play,
    at_least={"joined": PLAYERS, "changes": 4 * PLAYERS, "moves": PLAYERS, "reconnects": 1},
    at_most={"back_p95_s": 1.0, "lost": 0},
    faults=(BY_ADDRESS,),
)
