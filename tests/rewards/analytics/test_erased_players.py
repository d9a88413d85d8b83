from __future__ import annotations

import uuid
from pathlib import Path

import asyncpg

from launchday.clock import SystemClock
from rewards.analytics.erase import main, rows_of
from rewards.analytics.erased_players import LOOK_S, ErasedPlayers
from rewards.analytics.lake import Lake
from tests.rewards.examples import a_death, a_kill

PLAYER, OTHER = 2**60 + 1, 2**60 + 2


class Clock(SystemClock):
    """Monotonic time moves only when told to."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at


async def test_players_whom_the_store_lists_go_out_of_the_files_once(tmp_path: Path, store_url: str) -> None:
    clock = Clock()
    lake = Lake(tmp_path).open()
    lake.add([a_kill(PLAYER, OTHER), a_death(PLAYER)], {("test.player", 0): (2, uuid.UUID(int=1))})
    erased = ErasedPlayers(store_url, clock)
    connection = await asyncpg.connect(store_url)
    try:
        assert await erased.look(lake) == 0
        await connection.execute(
            "INSERT INTO erasures (player_id, asked_by, asked_at) VALUES ($1, 'player', now())", PLAYER
        )
        assert await erased.look(lake) == 0, "it is not time to look again"
        clock.at += LOOK_S
        assert await erased.look(lake) == 1
        assert [*rows_of(tmp_path, PLAYER)] == []
        (kill,) = rows_of(tmp_path, OTHER)
        assert kill["killer_id"] not in (PLAYER, OTHER)
        clock.at += LOOK_S
        assert await erased.look(lake) == 0
    finally:
        await connection.close()
        await erased.close()
        lake.close()
    assert main([str(OTHER), "--folder", str(tmp_path)]) == 0
    assert [*rows_of(tmp_path, OTHER)] == []


async def test_while_the_store_is_away_the_files_stay_as_they_are(tmp_path: Path) -> None:
    lake = Lake(tmp_path).open()
    erased = ErasedPlayers("postgresql://nobody@127.0.0.1:1/nothing", Clock())
    assert await erased.look(lake) == 0
    await erased.close()
    lake.close()
