"""How many files one of each thing passes: a datagram, a ticket, a kill, a scenario."""

from __future__ import annotations

from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.tick.engine import Engine
from dedicated_server.transport import open_transport
from tests.dedicated_server.tick.swarm import FLEET_KEY, Swarm, Table, aim_and_fire, config
from tests.walks import Walk, follow

MAX_DATAGRAM_FILES = 36


async def walk_datagram() -> Walk:
    """Play until all are connected; then follow one tick, from the socket to the socket."""
    transport = await open_transport("127.0.0.1", 0, "mmsg")
    engine = Engine(config(4), FLEET_KEY, transport, secret=bytes(SECRET_BYTES))
    swarm = Swarm(engine, aim_and_fire)
    try:
        await Table(engine, swarm).play(60)
        swarm.play_frame(engine.tick_number / 60 + 1_000.0)
        with follow() as walk:
            engine.tick(engine.tick_number / 60 + 1_000.0)
    finally:
        swarm.close()
        await transport.close()
    return walk


async def test_a_datagram_passes_few_files() -> None:
    files = (await walk_datagram()).files()
    print(*files, sep="\n")
    assert len(files) <= MAX_DATAGRAM_FILES
