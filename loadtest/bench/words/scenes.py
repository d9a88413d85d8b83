"""A scene for each reason: what makes a server say it, with a server of its own.

Players come with tokens as a matchmaker seals them, from a socket each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from dedicated_server.protocol import reasons
from dedicated_server.protocol.datagrams import TIMED_OUT
from dedicated_server.protocol.reasons import FAREWELL, REFUSAL, UNSEALED
from dedicated_server.protocol.reliable_kinds import RELIABLE_HIT
from dedicated_server.protocol.server.state import RELIABLE_RING
from loadtest.bench.words.bots import DEAD
from loadtest.bench.words.stage import Stage

FIRST, SECOND = 0, 1  # bots
OTHER_KEY: Final = bytes(32)
OTHER_MATCH: Final = UUID(int=1)
STRANGER: Final = 7  # the id of a player who is in no match
SHORT_MATCH_S: Final = 1.0

Scene = Callable[[Stage], Awaitable[None]]


async def _expired(stage: Stage) -> None:
    async with stage.serving() as server:
        await _refused(stage, server.token(issued_in_s=-60.0, expires_in_s=-1.0))


async def _kicked(stage: Stage) -> None:
    await _put_out(stage, reasons.KICKED)


async def _banned(stage: Stage) -> None:
    await _put_out(stage, reasons.BANNED)


async def _put_out(stage: Stage, reason: int) -> None:
    """Who is put out hears why, and again when they come back."""
    async with stage.serving() as server:
        token = server.token()
        status = await stage.bots.connect(FIRST, token)
        server.engine.slots.kick(0, reason)
        await stage.hear(FIRST, status, FAREWELL)
        await _refused(stage, token)


async def _other_match(stage: Stage) -> None:
    async with stage.serving() as server:
        await _refused(stage, server.token(match_id=OTHER_MATCH))


async def _other_server(stage: Stage) -> None:
    async with stage.serving() as server:
        await _refused(stage, server.token(of_port=server.transport.port ^ 1))


async def _other_player(stage: Stage) -> None:
    async with stage.serving() as server:
        await _refused(stage, server.token(player_id=STRANGER))


async def _superseded(stage: Stage) -> None:
    """Who has got a newer token since comes with the older one."""
    async with stage.serving() as server:
        await stage.bots.connect(SECOND, server.token())
        await _refused(stage, server.token(issued_in_s=-10.0))


async def _match_over(stage: Stage) -> None:
    async with stage.serving(players=1, match_s=SHORT_MATCH_S) as server:
        token = server.token()
        status = await stage.bots.connect(FIRST, token)
        await stage.hear(FIRST, status, FAREWELL)
        await stage.wait(lambda: server.engine.finished, "the end of the match")
        async with server.closed():
            await _refused(stage, token)


async def _going_away(stage: Stage) -> None:
    async with stage.serving() as server:
        status = await stage.bots.connect(FIRST, server.token())
        await server.part()
        await stage.hear(FIRST, status, FAREWELL)
        async with server.closed():
            await _refused(stage, server.token(1))


async def _replaced(stage: Stage) -> None:
    """A player goes on at another machine, with a token of its own."""
    async with stage.serving() as server:
        status = await stage.bots.connect(FIRST, server.token(issued_in_s=-10.0))
        await stage.wait(lambda: bool(server.engine.wire.acked_tick[0] > 0), "a snapshot acknowledged")
        await stage.bots.connect(SECOND, server.token())
        await stage.hear(FIRST, status, FAREWELL)


async def _too_slow(stage: Stage) -> None:
    """Nothing that a player acknowledges arrives, while more happens to them than can wait."""
    async with stage.serving() as server:
        status = await stage.bots.connect(FIRST, server.token(), DEAD)
        async with stage.bots.cut():
            for damage in range(RELIABLE_RING + 1):
                server.engine.wire.queue_reliable(0, RELIABLE_HIT, 0, damage % 50, 1)
            await stage.hear(FIRST, status, FAREWELL)


async def _timed_out(stage: Stage) -> None:
    """Nothing of a player arrives for longer than the time-out, and then again."""
    async with stage.serving() as server:
        status = await stage.bots.connect(FIRST, server.token(), DEAD)
        async with stage.bots.cut():
            slots = server.engine.wire.status
            await stage.wait(lambda: bool(slots[0] == TIMED_OUT), "the server's time-out")
        await stage.hear(FIRST, status, FAREWELL)


async def _other_version(stage: Stage) -> None:
    async with stage.serving() as server:
        status = await stage.bots.join(FIRST, server.token(), of_tomorrow=True)
        await stage.hear(FIRST, status, UNSEALED)


async def _unknown_token(stage: Stage) -> None:
    async with stage.serving() as server:
        status = await stage.bots.join(FIRST, server.token(fleet_key=OTHER_KEY))
        await stage.hear(FIRST, status, UNSEALED)


async def _unknown_session(stage: Stage) -> None:
    """A server is killed, and another one begins at its address."""
    async with stage.serving() as server:
        status = await stage.bots.connect(FIRST, server.token())
        await server.stop()
        server.start()
        await stage.hear(FIRST, status, UNSEALED)


async def _refused(stage: Stage, token: bytes) -> None:
    await stage.hear(FIRST, await stage.bots.join(FIRST, token), REFUSAL)


SCENES: Final[dict[str, Scene]] = {
    "expired": _expired,
    "kicked": _kicked,
    "banned": _banned,
    "other_match": _other_match,
    "other_server": _other_server,
    "other_player": _other_player,
    "superseded": _superseded,
    "match_over": _match_over,
    "going_away": _going_away,
    "replaced": _replaced,
    "too_slow": _too_slow,
    "timed_out": _timed_out,
    "other_version": _other_version,
    "unknown_token": _unknown_token,
    "unknown_session": _unknown_session,
}
