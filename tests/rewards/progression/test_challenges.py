"""Challenges and seasons: what counts towards them, what completing them gives, which files are refused."""

from __future__ import annotations

import uuid
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from launchday.seasons import moment
from loadtest.event_fixture import make_event_fixture
from rewards.consumer.store import Store
from rewards.errors import RulesError
from rewards.events import (
    Envelope,
    Source,
    WeaponDamage,
    damage_summary,
    kill,
    make_event,
    match_ended,
    xp_granted,
)
from rewards.events.build import PlayerPlacement
from rewards.progression import rules
from rewards.progression.challenges import Challenge
from rewards.progression.effects import fold
from rewards.progression.rules import Rules
from tests.rewards.examples import NOW_S, source_of
from tests.rewards.running import LETTERS, batch, progression, query

DAY_S = 86_400.0
IN_SEASON_S = 1_795_000_000.0
LONG_AGO_S = 1_700_000_000.0
RULES = rules.load()


def at(match: int) -> Source:
    return source_of(match)


def shot(match: int, distance_m: float, *, now_s: float = IN_SEASON_S, killer_id: int = 1) -> Envelope:
    return kill(
        at(match),
        now_s=now_s,
        tick=1,
        killer_id=killer_id,
        victim_id=99,
        weapon="rifle",
        distance_m=distance_m,
        killer_at=(0, 0),
        victim_at=(1, 1),
    )


def podium(match: int, place: int, *, mode: str = "battle_royale", now_s: float = IN_SEASON_S) -> Envelope:
    return match_ended(
        at(match),
        now_s=now_s,
        tick=9,
        mode=mode,
        duration_s=45.0,
        placements=[PlayerPlacement(1, 0, place, 0, 1.0)],
    )


def damage(weapon: str, dealt: float) -> Envelope:
    return damage_summary(
        at(1), now_s=IN_SEASON_S, tick=9, player_id=1, taken=0, weapons=[WeaponDamage(weapon, dealt, 9, 3)]
    )


async def xp_of(store_url: str, events: list[Envelope]) -> int:
    store = Store(store_url, "rewards", RULES, LETTERS)
    try:
        for offset, event in enumerate(events):  # one at a time: each transaction sees only its own
            await store.apply(batch([event], first_offset=offset), NOW_S)
    finally:
        await store.close()
    return int(str((await progression(store_url))[1][0]))


async def test_three_long_shots_in_one_match_complete_the_challenge_once(store_url: str) -> None:
    far = [shot(1, 101), shot(1, 400), shot(1, 100), shot(1, 99), shot(1, 150), shot(1, 150), shot(2, 150)]
    assert await xp_of(store_url, far) == 7 * 100 + 300
    assert await query(
        store_url, "SELECT period, count, completed FROM challenge_progress ORDER BY count"
    ) == [
        (uuid.UUID(int=2).hex, 1, False),
        (uuid.UUID(int=1).hex, 4, True),
    ]


async def test_a_days_challenge_starts_anew_the_next_day_by_the_time_of_the_events(store_url: str) -> None:
    days = [podium(day * 100 + n, 9, now_s=LONG_AGO_S + day * DAY_S) for day in (0, 1) for n in range(11)]
    assert await xp_of(store_url, days) == 22 * 50 + 2 * 250


@pytest.mark.parametrize(
    ("zone", "moments", "days"),
    [
        (None, ("2026-11-01T23:59:59.999Z", "2026-11-02T00:00Z"), ("2026-11-01", "2026-11-02")),
        # a day of 25 hours, and one of 23
        ("America/Los_Angeles", ("2026-11-01T07:00Z", "2026-11-02T07:59:59.999Z"), ("2026-11-01",) * 2),
        ("America/Los_Angeles", ("2026-11-02T08:00Z",), ("2026-11-02",)),
        ("America/Los_Angeles", ("2027-03-14T08:00Z", "2027-03-15T06:59:59.999Z"), ("2027-03-14",) * 2),
        (
            "America/Los_Angeles",
            ("2027-03-14T07:59:59.999Z", "2027-03-15T07:00Z"),
            ("2027-03-13", "2027-03-15"),
        ),
    ],
)
def test_a_day_is_that_of_the_challenges_zone_also_when_its_clocks_change(
    zone: str | None, moments: tuple[str, ...], days: tuple[str, ...]
) -> None:
    daily = Challenge(name="d", title="D", event="match", count=3, per="day", zone=zone, xp=5)
    own = Rules(xp=RULES.xp, levels=RULES.levels, challenges=(daily,))
    for text, day in zip(moments, days, strict=True):
        effects = fold([podium(1, 1, now_s=moment(text, UTC).timestamp())], own)
        assert list(effects.challenge_counts) == [(1, 0, day)]


async def test_a_seasons_challenge_counts_within_the_season_its_mode_and_its_places(store_url: str) -> None:
    counting = [podium(n, 3) for n in range(5)]
    others = [podium(10, 4), podium(11, 1, mode="teams_of_five"), podium(12, 2, now_s=LONG_AGO_S)]
    assert await xp_of(store_url, others + counting) == 8 * 50 + 500 + 1000
    # The match of long ago is no part of the season; the challenge's own points are.
    assert await query(store_url, "SELECT season, xp, tier FROM season_progress") == [("launch", 1850, 1)]


async def test_points_dealt_add_up_over_matches_for_the_weapon_named(store_url: str) -> None:
    assert (
        await xp_of(store_url, [damage("rifle", 9999.9), damage("pistol", 500), damage("rifle", 1.0)]) == 1500
    )


async def test_a_season_ends_to_the_second_and_tiers_are_reached_on_their_number(store_url: str) -> None:
    _, ends_s = RULES.seasons[0].window_s
    grants = [(ends_s - 0.001, 500), (ends_s, 10_000)]
    events = [xp_granted(at(1), now_s=now_s, player_id=1, xp=xp, reason="test") for now_s, xp in grants]
    assert await xp_of(store_url, events) == 10_500
    assert await query(store_url, "SELECT xp, tier FROM season_progress") == [(500, 1)]


@examples(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cuts=st.lists(st.integers(0, 1), min_size=4, max_size=4), shuffler=st.randoms(use_true_random=False))
def test_the_worth_of_a_known_set_is_the_same_in_any_order(cuts: list[int], shuffler: object) -> None:
    known = make_event_fixture(12, players=60, seed=sum(cuts))
    events = list(known.events)
    shuffler.shuffle(events)  # type: ignore[attr-defined]
    effects = fold(events, RULES)
    for (player, index, _), count in effects.challenge_counts.items():
        if count >= RULES.challenges[index].count:
            effects.gains_of(player).xp += RULES.challenges[index].xp
    assert {player: gains.xp for player, gains in effects.players.items() if gains.xp} == {
        player: xp for player, xp in known.xp.items() if xp
    }


CHALLENGE = "{name: a, title: A, event: kill, count: 3, xp: 5}"
SEASON = "{name: s, title: S, starts: 2026-01-01, ends: 2026-02-01, tiers: [{xp: 5, reward: r}]}"


def load(tmp_path: Path, challenges: str = "", seasons: str = "") -> Rules:
    (tmp_path / "rules.yaml").write_text(rules.DEFAULT_PATH.read_text())
    (tmp_path / "challenges.yaml").write_text(f"challenges: [{challenges}]")
    (tmp_path / "seasons.yaml").write_text(f"seasons: [{seasons}]")
    return rules.load(tmp_path / "rules.yaml")


def test_any_kind_of_event_can_be_a_challenge() -> None:
    carried = {"player_id": 1, "team": 1, "carried_s": 12.9}
    flag = make_event(at(1), "flag_captured", carried, now_s=IN_SEASON_S)
    counts = {
        "runner": Challenge(name="a", title="A", event="flag_captured", adds="carried_s", count=9, xp=5),
        "scorer": Challenge(
            name="b", title="B", event="flag_captured", where={"team": 1}, count=9, per="match", xp=5
        ),
        "other": Challenge(name="c", title="C", event="flag_captured", where={"team": 0}, count=9, xp=5),
        "mate": Challenge(name="d", title="D", event="kill", to="assist_ids", count=9, xp=5),
    }
    own = Rules(xp=RULES.xp, levels=RULES.levels, challenges=tuple(counts.values()))
    effects = fold([flag, shot(1, 50.0)], own)
    assert effects.challenge_counts == {(1, 0, ""): 12, (1, 1, uuid.UUID(int=1).hex): 1}


def test_good_files_are_taken(tmp_path: Path) -> None:
    made = load(tmp_path, CHALLENGE, SEASON)
    assert [challenge.name for challenge in made.challenges] == ["a"]
    assert made.season_at(made.seasons[0].window_s[0]) == "s"
    assert made.season_at(made.seasons[0].window_s[1]) is None


@pytest.mark.parametrize(
    ("challenges", "seasons", "complaint"),
    [
        (CHALLENGE.replace("count: 3", "count: 0"), "", r"challenges\.yaml: challenges\.0\.count"),
        (CHALLENGE.replace("kill", "jump"), "", r"challenges\.yaml: challenges\.0\.event"),
        (CHALLENGE.replace("xp: 5", "xp: 5, where: {mode: a}"), "", "a kill has no mode"),
        (CHALLENGE.replace("xp: 5", "xp: 5, where: {over: 9}"), "", "where.over"),
        (
            CHALLENGE.replace("xp: 5", "xp: 5, to: weapon"),
            "",
            "challenges.0: to: weapon is no player of a kill",
        ),
        (CHALLENGE.replace("xp: 5", "xp: 5, adds: weapon"), "", "challenges.0: adds: weapon is no number"),
        (CHALLENGE.replace("xp: 5", "xp: 5, per: season"), "", "give `season`"),
        (CHALLENGE.replace("xp: 5", "xp: 5, per: season, season: q"), SEASON, "belongs to no season: q"),
        (f"{CHALLENGE}, {CHALLENGE}", "", "two challenges called a"),
        ("", SEASON.replace("ends: 2026-02-01", "ends: 2026-01-01"), "end after it starts"),
        ("", SEASON.replace("starts: 2026-01-01", "starts: soon"), r"seasons\.yaml: seasons\.0\.starts"),
        ("", SEASON.replace("{xp: 5, reward: r}", "{xp: 5, reward: r}, {xp: 5, reward: q}"), "more points"),
        ("", f"{SEASON}, {SEASON.replace('name: s', 'name: t')}", "s and t overlap"),
    ],
)
def test_files_that_make_no_sense_are_refused_with_their_name_and_place(
    tmp_path: Path, challenges: str, seasons: str, complaint: str
) -> None:
    with pytest.raises(RulesError, match=complaint):
        load(tmp_path, challenges, seasons)


def test_the_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    challenges = [CHALLENGE.replace("xp: 5", more) for more in ("xp: -5", "xp: 5, per: season, season: q")]
    seasons = [SEASON.replace("2026-01-01", "2026-01-01T25:00"), SEASON.replace("2026-02-01", "2025-12-31")]
    with pytest.raises(RulesError) as told:
        load(tmp_path, ", ".join(challenges), ", ".join(seasons))
    lines = str(told.value).splitlines()
    for what in ("challenges.0.xp", "challenges called a", "season: q", "seasons.0.starts", "seasons.1.ends"):
        assert any(what in line for line in lines), (what, lines)
    assert len(lines) == 5


def test_hours_offsets_and_zones_of_seasons_are_kept(tmp_path: Path) -> None:
    hours = SEASON.replace("2026-01-01", "2026-01-01T10:00:00-08:00").replace(
        "ends: 2026-02-01", "ends: 2026-07-01, zone: Europe/Berlin"
    )
    made = load(tmp_path, "", hours)
    starts_s, ends_s = made.seasons[0].window_s
    assert starts_s == moment("2026-01-01T18:00Z", UTC).timestamp()
    assert ends_s == moment("2026-06-30T22:00Z", UTC).timestamp()
    assert [made.season_at(at_s) for at_s in (starts_s, ends_s - 0.001, ends_s)] == ["s", "s", None]


def test_challenges_and_passes_have_the_table_that_the_settings_name(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(rules.DEFAULT_PATH.read_text())
    (tmp_path / "table.yaml").write_text(f"seasons: [{SEASON}]")
    for path in (tmp_path / "rules.yaml", rules.DEFAULT_PATH):
        made = rules.load(path, tmp_path / "table.yaml")
        assert [season.name for season in made.seasons] == ["s"]
        assert {challenge.season for challenge in made.challenges} <= {None}
    assert [season.name for season in rules.load().seasons] == ["launch"]


def test_a_file_with_anything_else_in_it_is_refused(tmp_path: Path) -> None:
    load(tmp_path)
    (tmp_path / "seasons.yaml").write_text("season: []")
    with pytest.raises(RulesError, match=r"seasons\.yaml: it must hold `seasons:`"):
        rules.load(tmp_path / "rules.yaml")
