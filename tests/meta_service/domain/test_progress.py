"""A player reads what rewards has stored of them, by the rules that rewards goes by."""

from __future__ import annotations

import random
from datetime import UTC
from pathlib import Path
from uuid import UUID

import pytest

from launchday.seasons import moment
from launchday.settings import Settings
from meta_service.client import MetaUnavailableError
from meta_service.domain.progress import LOOK_S
from meta_service.store import catalogue
from rewards.consumer.store import Store
from rewards.events import EventIds, PlayerPlacement, Source, kill, match_ended, xp_granted
from rewards.progression.rules import Rules
from rewards.progression.rules import load as load_rules
from tests.meta_service.conftest import Backend, Clock, drain, new_match, running
from tests.rewards.running import LETTERS, batch

NOW_S = moment("2026-12-01T12:00:00Z", UTC).timestamp()
IDS = EventIds(random.Random(5).getrandbits)

TIERS = [
    {"xp": 500, "gives": {"item": "skin-ember"}},
    {"xp": 4000, "name": "top", "gives": [{"item": "wave"}, {"currency": "coins", "amount": 70}]},
]
CHALLENGES = [
    {"name": "z-kills", "title": "Kills a match", "event": "kill", "count": 2, "per": "match", "xp": 10},
    {
        "name": "daily",
        "title": "A match a day",
        "event": "match",
        "count": 1,
        "per": "day",
        "zone": "America/Los_Angeles",
        "xp": 5,
        "gives": {"currency": "coins", "amount": 3},
    },
    {
        "name": "five",
        "title": "Five",
        "event": "match",
        "count": 5,
        "per": "season",
        "season": "now",
        "xp": 1,
    },
    {
        "name": "old",
        "title": "Old",
        "event": "match",
        "count": 5,
        "per": "season",
        "season": "before",
        "xp": 1,
    },
]


def own_rules() -> Rules:
    seasons = [
        {"name": name, "title": name.title(), "starts": starts, "ends": ends, "tiers": TIERS}
        for name, starts, ends in (
            ("now", "2026-11-01", "2027-02-01"),
            ("before", "2026-01-01", "2026-11-01"),
        )
    ]
    return Rules.model_validate({**load_rules().model_dump(), "seasons": seasons, "challenges": CHALLENGES})


async def play(store: Store, match_id: UUID, player_id: int, kills: int, now_s: float) -> None:
    source = Source("server", "east-us", match_id, ids=IDS)
    events = [
        kill(
            source, now_s=now_s, tick=tick, killer_id=player_id, victim_id=9, weapon="rifle", distance_m=1.0,
            killer_at=(0, 0), victim_at=(1, 1),
        )
        for tick in range(kills)
    ]  # fmt: skip
    placements = [PlayerPlacement(player_id, 0, 2, kills, 9.0)]
    events.append(
        match_ended(source, now_s=now_s, tick=99, mode="fives", duration_s=9.0, placements=placements)
    )
    await store.apply(batch(events, first_offset=int(now_s) % 10**6 * 10), now_s)


async def test_progress_is_level_pass_and_challenges_with_what_they_give_and_gave(
    backend: Backend, store_url: str
) -> None:
    await catalogue.seed(store_url)
    backend.clock.set(NOW_S)
    login = await backend.login()
    nothing = await backend.client.progress(login.session_token)  # rewards has never run
    assert (nothing.level, nothing.xp_to_next, nothing.season, nothing.challenges) == (1, None, None, [])
    rewards = Store(store_url, "rewards", own_rules(), LETTERS)
    try:
        await rewards.publish_rules(rewards.rules, NOW_S)
        fresh = await backend.client.progress(login.session_token)
        assert (fresh.level, fresh.xp, fresh.xp_to_next) == (1, 0, 500)

        match_id = new_match()
        await backend.client.check_out(match_id, "s", "east-us", 60, [login.player_id])
        await drain(backend)
        await play(rewards, new_match(), login.player_id, kills=3, now_s=NOW_S - 86400)
        await play(rewards, match_id, login.player_id, kills=1, now_s=NOW_S)
        more = xp_granted(Source("q", "", ids=IDS), now_s=NOW_S, player_id=login.player_id, xp=90, reason="q")
        await rewards.apply(batch([more]), NOW_S)
    finally:
        await rewards.close()

    found = await backend.client.progress(login.session_token)
    xp = 4 * 100 + 2 * 50 + 10 + 2 * 5 + 90
    assert (found.level, found.xp, found.xp_to_next) == (2, xp, 1000 - xp)
    assert found.season is not None
    assert (found.season.name, found.season.title, found.season.xp) == (
        "now",
        "Now",
        xp - 20,
    )  # those challenges are of no season
    assert found.season.ends_at == moment("2027-02-01", UTC).timestamp()
    assert [(tier.name, tier.xp, tier.reached, tier.given) for tier in found.season.tiers] == [
        ("500", 500, True, True),
        ("top", 4000, False, False),
    ]
    assert [
        (gift.item, gift.quantity, gift.currency, gift.amount) for gift in found.season.tiers[1].gives
    ] == [
        ("wave", 1, None, None),
        (None, None, "coins", 70),
    ]
    kills, daily, five = found.challenges  # in the rules' order, and none of another season
    assert (kills.count, kills.needed, kills.completed, kills.ends_at) == (
        1,
        2,
        False,
        None,
    )  # the last match
    assert (daily.count, daily.completed, daily.given, daily.gives[0].amount) == (1, True, True, 3)
    assert daily.ends_at == moment("2026-12-02T08:00:00Z", UTC).timestamp()  # midnight in Los Angeles
    assert (five.count, five.completed, five.given, five.ends_at) == (2, False, False, found.season.ends_at)

    reader = backend.app.state.context.progress
    for unreadable in (('"day"', '"week"'), ("America/Los_Angeles", "Mars/Olympus")):  # of a later release
        text = rewards.rules.in_force().as_text().replace(*unreadable)
        await reader._store.change("UPDATE rules_in_force SET rules = $1 RETURNING true", text)
        reader._looked_at = -LOOK_S
        assert await backend.client.progress(login.session_token) == found

    reader._store._presence.away = True
    with pytest.raises(MetaUnavailableError):
        await backend.client.progress(login.session_token)


SEASON = "{{name: {}, title: S, starts: 2000-01-01, ends: 2100-01-01, tiers: [{{xp: 5, reward: wave}}]}}"


async def test_the_table_of_seasons_is_read_again_on_an_operators_word_and_refused_where_it_is_wrong(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    table = tmp_path / "seasons.yaml"
    table.write_text(f"seasons: [{SEASON.format('one')}]")
    async with running(settings.model_copy(update={"seasons": str(table)}), clock) as backend:
        login = await backend.login()

        async def reload(roles: list[str]) -> tuple[int, dict[str, object]]:
            token = backend.app.state.signer.service_token("ann", clock.now(), roles=roles)
            answer = await backend.http.post(
                "/v1/operator/rules/reload", headers={"Authorization": f"Bearer {token}"}
            )
            return answer.status_code, answer.json()

        assert (await backend.client.leaderboard(login.session_token)).season == "century"
        assert (await reload(["viewer"]))[0] == 403
        assert await reload(["operator"]) == (200, {"seasons": ["one"]})
        assert (await backend.client.leaderboard(login.session_token)).season == "one"

        table.write_text(f"seasons: [{SEASON.format('two')}, {SEASON.format('UP')}, {{name: x}}]")
        status, problem = await reload(["operator"])
        assert (status, problem["type"]) == (422, "urn:launchday:reload-refused")
        assert len(problem["mistakes"]) > 4  # type: ignore[arg-type]
        assert (await backend.client.leaderboard(login.session_token)).season == "one"
