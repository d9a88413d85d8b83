"""Seats of a running match that change hands.

Whose token opens them, what counts for whom, and what a recording makes of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dedicated_server.cards import shipped_cards
from dedicated_server.match.report import build_report
from dedicated_server.protocol import fields
from dedicated_server.protocol import reliable_kinds as kinds
from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.protocol.datagrams import LEFT, TIMED_OUT
from dedicated_server.recording.replay import replay
from dedicated_server.simulation import world as w
from dedicated_server.simulation.match import RosterPlayer
from dedicated_server.tick.slots import VACANT
from tests.dedicated_server.replication.lossy import LossyTable, Policy
from tests.dedicated_server.replication.test_lossy_links import Wanderers
from tests.dedicated_server.tick.swarm import Intent, token_for

NEWCOMER = 777


def laid(
    mode: str = "teams_of_five", teams: int = 2, record_to: Path | None = None, policy: Policy | None = None
) -> LossyTable:
    roster = [
        RosterPlayer(player_id=9_000 + entity, team=entity % teams, entity=entity) for entity in range(10)
    ]
    return LossyTable(
        10, policy or Wanderers(10, teams), record_to=record_to, card=shipped_cards()[mode], players=roster,
        spawn_radius_m=50.0, match_s=30.0, join_timeout_s=1.0,
    )  # fmt: skip


def give(table: LossyTable, entity: int, player_id: int = NEWCOMER) -> None:
    """Give a seat to a newcomer, who connects in place of the player before them."""
    table.engine.slots.assign(entity, player_id)
    table.clients.free(entity)
    assert table.clients.add(token_for(table.engine, entity)) == entity


def test_a_seat_is_open_to_one_player_at_a_time() -> None:
    table = laid()
    table.play(200)
    old_token = token_for(table.engine, 4)
    table.clients.leave(4)
    table.play(60)
    slots = table.engine.slots
    assert table.engine.wire.status[4] == LEFT
    assert slots.abandoned(played_in=True).tolist() == [4]
    departed = slots.release(4)
    assert (departed.player.player_id, departed.joined) == (9_004, True)
    assert slots.vacant().tolist() == [4]
    for owner in (VACANT, NEWCOMER):  # before somebody has it, and after
        if owner != VACANT:
            slots.assign(4, owner)
        table.clients.free(4)
        assert table.clients.add(old_token) == 4
        table.play(60)
        assert table.sessions["state"][4] != CLIENT_CONNECTED
    assert table.engine.wire.drops_by_reason()["other_player"] > 0
    table.clients.free(4)
    table.clients.add(token_for(table.engine, 4))
    table.play(60)
    assert table.sessions["state"][4] == CLIENT_CONNECTED
    assert slots.has_joined(4)
    assert table.engine.match.world.status[w.ALIVE, 4] == 1
    assert table.engine.wire.drops_by_reason()["replayed"] == 0


def test_what_the_player_before_did_stays_his_and_his_sides() -> None:
    table = laid()
    table.play(400)
    slots, status = table.engine.slots, table.engine.match.world.status
    entity = int(status[w.KILLS].argmax())
    before, deaths = int(status[w.KILLS, entity]), int(status[w.DEATHS, entity])
    assert before > 0
    table.clients.leave(entity)
    table.play(30)
    departed = slots.release(entity)
    assert departed.kills == before
    assert departed.deaths >= deaths
    give(table, entity)
    table.play(6_000)
    assert table.engine.finished
    result = table.engine.result()[entity]
    assert result.player.player_id == NEWCOMER
    assert result.kills == status[w.KILLS, entity] - before
    assert sum(each.kills for each in table.engine.result()) + before == status[w.KILLS].sum()
    [told] = [each[kinds.OVER_KILLS] for each in table.heard[entity] if each[0] == kinds.RELIABLE_MATCH_OVER]
    assert told == result.kills
    report = build_report(table.engine)
    assert (report["players_joined"], report["players_expected"]) == (11, 10)


def test_who_never_came_is_missed_once_the_match_begins_and_his_body_with_whoever_takes_the_seat() -> None:
    table = laid("battle_royale", 10, policy=lambda _table, _client: (0, 0, 0, 0))
    table.clients.free(3)
    table.play(30)
    assert table.engine.slots.abandoned(played_in=False).size == 0  # they may still come
    table.play(120)
    assert table.engine.match.started
    table.clients.leave(5)
    table.play(30)
    assert table.engine.slots.abandoned(played_in=False).tolist() == [
        3
    ]  # dead is dead: that seat has been played in
    alive = table.engine.match.alive_count
    assert table.engine.slots.release(3).joined is False
    give(table, 3)
    table.play(60)
    status = table.engine.match.world.status
    assert (status[w.PRESENT, 3], table.engine.match.alive_count) == (1, alive + 1)


@pytest.mark.parametrize(("mode", "teams"), [("battle_royale", 10), ("teams_of_five", 2)])
def test_a_match_that_newcomers_came_into_is_played_again_bit_for_bit(
    tmp_path: Path, mode: str, teams: int
) -> None:
    path = tmp_path / "match.ldr"
    table = laid(mode, teams, path)
    table.clients.free(3)
    table.play(150)
    table.engine.slots.release(3)
    give(table, 3)
    table.clients.leave(6)
    table.play(40)
    if mode == "teams_of_five":
        table.engine.slots.release(6)
        give(table, 6, NEWCOMER + 1)
    table.play(100)
    assert table.engine.slots.has_joined(3)
    table.play(6_000)
    assert table.engine.finished
    result = replay(path)
    assert result.identical, result.difference
    assert result.ended == "ended"
    assert list(result.placements) == [player.placement for player in table.engine.result()]


def two_against_two(record_to: Path | None = None, **changes: Any) -> LossyTable:
    """Findings of a match in which somebody leaves: one side shoots, the other stands."""
    roster = [RosterPlayer(player_id=9_000 + entity, team=entity % 2, entity=entity) for entity in range(4)]

    def shoot(table: LossyTable, client: int) -> Intent:
        body = table.engine.match.world.body
        east, north = body[w.X_M : w.Y_M + 1, 3] - body[w.X_M : w.Y_M + 1, client]
        yaw = round(np.arctan2(north, east) / (2 * np.pi) * 65_536) & 65_535
        return 0, 0, yaw, fields.BUTTON_FIRE if client % 2 == 0 else 0

    return LossyTable(
        4, shoot, record_to=record_to, card=shipped_cards()["teams_of_five"], players=roster,
        spawn_radius_m=20.0, match_s=120.0, join_timeout_s=1.0, **changes,
    )  # fmt: skip


def test_leaving_a_team_match_feeds_the_other_side_nothing(tmp_path: Path) -> None:
    path = tmp_path / "match.ldr"
    table = two_against_two(path)
    table.play(120)
    status = table.engine.match.world.status
    table.clients.leave(3)
    table.play(60)
    kills = status[w.KILLS].sum()
    table.play(1_800)  # half a minute, in which a body would have come back nine times
    assert not table.engine.match.over
    assert (status[w.PRESENT, 3], status[w.KILLS].sum()) == (0, kills)
    table.clients.leave(1)
    table.play(300)
    assert table.engine.finished  # one side is gone for good
    assert table.engine.result()[1].placement == 2
    assert replay(path).identical


def test_who_is_silent_for_longer_than_they_may_has_no_body_and_the_recording_says_so(tmp_path: Path) -> None:
    path = tmp_path / "match.ldr"
    table = two_against_two(path, return_s=2.0)
    table.play(120)
    status = table.engine.match.world.status
    table.clients.free(3)  # the client is gone without a word
    table.play(60 * 5 + 60)
    assert (table.engine.wire.status[3], status[w.PRESENT, 3]) == (TIMED_OUT, 1)
    table.play(60 * 3)
    assert status[w.PRESENT, 3] == 0
    deaths = status[w.DEATHS, 3]
    table.play(600)
    assert status[w.DEATHS, 3] == deaths
    table.clients.leave(1)
    table.play(300)
    assert table.engine.finished
    assert replay(path).identical
