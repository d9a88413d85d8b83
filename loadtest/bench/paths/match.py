"""The match: the real engine at its real pace behind a real socket, in a process on one of the hosts.

``python -m loadtest.bench.paths.match PLACE`` prints the connect tokens, plays until its standard input ends,
and prints what the server has counted.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import UUID

import uvloop

from dedicated_server.match.warm_up import warm_up
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import SystemTickClock, run_paced
from dedicated_server.transport import open_transport
from launchday import startup
from loadtest.bench.harness.run_config import CLUSTER, bench_mode
from loadtest.bench.paths.network import Host
from loadtest.errors import BenchError

MATCH_ID: Final = UUID("5f0d3c5a-6a43-4a53-9f6f-0f3e5d1a7c21")
FLEET_KEY: Final = bytes(range(32))
PORT: Final = 7_001
TOKEN_S: Final = 3_600.0
MATCH_S: Final = 3_600.0
JOIN_S: Final = 30.0
END_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a match is played.

    Attributes:
        bind: the address that its socket is bound to.
        public: the addresses that players are given: one, or one of each family.
        players: how many, each a team of their own.
    """

    bind: str
    public: tuple[str, ...]
    players: int


@dataclass(slots=True)
class Playing:
    """A match that is being played.

    Attributes:
        tokens: a connect token a player.
        counted: what the server has counted, once the match has ended: ``drops`` by reason, ``counters`` by
            name, and ``ticks``.
    """

    tokens: list[bytes]
    counted: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def playing(host: Host, place: Place) -> Iterator[Playing]:
    """Play a match on ``host`` meanwhile. Raises BenchError where its process fails."""
    command = host.command(sys.executable, "-m", "loadtest.bench.paths.match", json.dumps(asdict(place)))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            if not ready:
                raise BenchError(f"the match on {host.name} did not begin")
            match = Playing([base64.b64decode(token) for token in json.loads(ready)])
            yield match
            process.stdin.close()
            if not (said := process.stdout.readline()):
                raise BenchError(f"the match on {host.name} ended by itself")
            match.counted = json.loads(said)
            process.wait(END_S)
        finally:
            process.kill()  # where it has ended, nothing happens


async def _play(place: Place) -> dict[str, Any]:
    transport = await open_transport(place.bind, PORT)
    try:
        engine = _engine(place, transport)
        print(json.dumps([base64.b64encode(token).decode() for token in _tokens(place)]), flush=True)

        def end() -> None:
            engine.finished = True

        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), end)
        await run_paced(engine, SystemTickClock())
        counters = engine.wire.counters_by_name()
        drops = {name: count for name, count in engine.wire.drops_by_reason().items() if count}
        return {"ticks": engine.tick_number, "counters": counters, "drops": drops}
    finally:
        await transport.close()


def _engine(place: Place, transport: Any) -> Engine:
    mode = bench_mode()
    config = MatchConfig(
        match_id=MATCH_ID,
        card=mode.card,
        seed=1,
        match_s=MATCH_S,
        players=[
            RosterPlayer(player_id=1_000 + each, team=each, entity=each) for each in range(place.players)
        ],
        join_timeout_s=JOIN_S,
        spawn_radius_m=CLUSTER.half_m,
    )
    secret = bytes(SECRET_BYTES)
    return Engine(
        config,
        FLEET_KEY,
        transport,
        secret=secret,
        host=place.public[0],
        other_host=_other(place),
        port=PORT,
        mode=mode,
    )


def _tokens(place: Place) -> list[bytes]:
    now_s = time.time()
    return [
        connect_token.seal(
            FLEET_KEY,
            match_id=MATCH_ID,
            player_id=1_000 + entity,
            entity=entity,
            team=entity,
            address=place.public[0],
            other_address=_other(place),
            port=PORT,
            issued_at=now_s,
            expires_at=now_s + TOKEN_S,
            random=secrets.token_bytes(connect_token.RANDOM_BYTES),
        )
        for entity in range(place.players)
    ]


def _other(place: Place) -> str:
    return place.public[1] if len(place.public) > 1 else ""


def main() -> None:
    """Play it."""
    given = json.loads(sys.argv[1])
    place = Place(given["bind"], tuple(given["public"]), given["players"])
    warm_up()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_play(place))), flush=True)


if __name__ == "__main__":
    startup.prepare()
    main()
