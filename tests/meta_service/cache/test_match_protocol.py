"""Check-out, commit, close and expiry in every order of their steps: a closed match has nobody."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from launchday.clock import ManualClock
from launchday.settings import Settings
from meta_service.cache import scripts
from meta_service.cache.cache import Cache
from meta_service.cache.keys import ONE
from meta_service.domain.players import Players
from meta_service.errors import MatchClosedError
from meta_service.messages.leases import PlayerCommit
from meta_service.store.store import Store
from tests.meta_service.cache.interleavings import Gate, GatedRedis, Operation, explore, gate_scripts

LEASE_S = 60.0
A, B = 0, 1  # the matches


@dataclass
class World:
    """One run: players and matches that no other run has, and what its operations were answered.

    Attributes:
        players: the code under test.
        seen: the cache, without waiting for a turn.
        since: the last entry of the write-behind stream before this run.
        fences: by match and player, of the check-outs that were answered.
        closes: match, force and answer of each close.
        closed: by match, the last entry of the stream when its first close was answered.
    """

    players: Players
    seen: Redis
    since: str
    now: float
    ids: list[int]
    matches: list[UUID] = field(default_factory=lambda: [uuid4(), uuid4()])
    fences: dict[tuple[int, int], int] = field(default_factory=dict)
    closes: list[tuple[int, bool, bool]] = field(default_factory=list)
    closed: dict[int, int] = field(default_factory=dict)

    async def check_out(self, match: int, players: Sequence[int] = (0,), late_s: float = 0.0) -> bool:
        """The server of a match asks for its players; ``late_s``: by a clock that is ahead.

        Returns False where it is told that the match was given up.
        """
        try:
            answers = await self.players.check_out(
                self.matches[match],
                f"server-{match}",
                "west-europe",
                self.now + late_s,
                LEASE_S,
                [self.ids[player] for player in players],
            )
        except MatchClosedError:
            return False
        for player, answer in zip(players, answers, strict=True):
            if answer.fence:
                self.fences[match, player] = answer.fence
        return True

    async def play(self, match: int, players: Sequence[int] = (0,)) -> None:
        """Check out, then commit whoever was given."""
        await self.check_out(match, players)
        rows = [
            PlayerCommit(self.ids[player], self.fences[match, player], 1, 0, 1.0)
            for player in players
            if (match, player) in self.fences
        ]
        if rows:
            await self.players.commit(self.matches[match], self.now, rows, self.now)

    async def close(self, match: int, force: bool = False, players: Sequence[int] = (0,)) -> None:
        """A director, or the fleet, gives a match up."""
        closed = await self.players.close_match(
            self.matches[match], [self.ids[player] for player in players], self.now, force=force
        )
        self.closes.append((match, force, closed))
        if closed:
            self.closed.setdefault(match, len(await self.entries()))

    async def expire(self) -> None:
        """A worker ends the leases that are over by its clock."""
        await self.players.leases.expire(self.now + LEASE_S + 1)

    async def entries(self) -> list[tuple[str, dict[str, Any]]]:
        """What this run gave the store to keep: kind and change of each, in order."""
        found = await cast(Any, self.seen.xrange(ONE.home.stream, min=f"({self.since}"))
        return [(kind, json.loads(text)) for _, fields in found for kind, text in fields.items()]

    async def check(self) -> None:
        """What must hold in every order."""
        await self._assert_one_match_at_a_time()
        for match, position in self.closed.items():
            await self._assert_it_stays_closed(match, position)
        for match in (A, B):
            asked = [(force, closed) for which, force, closed in self.closes if which == match]
            if not any(force for force, _ in asked):
                answers = {closed for _, closed in asked}
                assert len(answers) < 2, "it was closed, and it has come"
                came = any(which == match for which, _ in self.fences)
                assert not (came and answers == {True}), "it has come, and was closed"
        await self._assert_every_lease_ends()

    async def _assert_one_match_at_a_time(self) -> None:
        """No result was taken whose player was checked out anew between its check-out and itself."""
        given: dict[int, list[int]] = defaultdict(list)
        taken: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for kind, change in await self.entries():
            for row in change.get("players", []):
                if kind == "checkout":
                    given[int(row[0])].append(int(row[1]))
                elif kind == "commit":
                    taken[int(row[0])].append((int(row[1]), int(row[2])))
        for id_, results in taken.items():
            assert not any(fence < other < stamp for fence, stamp in results for other in given[id_])
            assert len(set(results)) == len(results)

    async def _assert_it_stays_closed(self, match: int, position: int) -> None:
        name = str(self.matches[match])
        late = [
            kind
            for kind, change in (await self.entries())[position:]
            if kind in ("commit", "checkout") and change["match_id"] == name
        ]
        assert not late
        assert not await self.check_out(match, (0, 1))
        for id_ in self.ids:
            lease = await self.seen.hmget(ONE.player(id_), ["lease_state", "lease_match"])
            assert lease != ["held", name]

    async def _assert_every_lease_ends(self) -> None:
        await self.players.leases.expire(self.now + 3 * LEASE_S)
        counters = await self.players.cache.counters(self.now)
        assert counters.open == 0
        assert counters.checkouts == counters.commits + counters.expired


Check = Callable[[], Awaitable[None]]
Scenario = Callable[[World], Sequence[Operation]]

SCENARIOS: dict[str, Scenario] = {
    "a late server and two directors": lambda w: [
        partial(w.check_out, A), partial(w.close, A), partial(w.close, A)
    ],
    "a server that asks twice": lambda w: [
        partial(w.check_out, A), partial(w.check_out, A), partial(w.close, A)
    ],
    "a match of two players": lambda w: [
        partial(w.check_out, A, (0, 1)), partial(w.close, A, False, (0, 1))
    ],
    "a match that is forced while it is played": lambda w: [
        partial(w.play, A, (0, 1)), partial(w.close, A, True, (0, 1))
    ],
    "the next match wants the player": lambda w: [
        partial(w.check_out, A), partial(w.close, A, True), partial(w.check_out, B)
    ],
    "the next match is given up, too": lambda w: [
        partial(w.check_out, A), partial(w.close, A, True), partial(w.close, B, True)
    ],
    "leases expire under everybody": lambda w: [
        partial(w.play, A), partial(w.expire), partial(w.close, A, True)
    ],
    "an expired player goes on": lambda w: [
        partial(w.play, A), partial(w.expire), partial(w.check_out, B, (0,), LEASE_S + 1)
    ],
}  # fmt: skip


@contextlib.asynccontextmanager
async def protocol(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[Scenario], Awaitable[int]]]:
    """Explores a scenario: in each run two players whom nobody has seen."""
    gate, clock, last_id = Gate(), ManualClock(), itertools.count(1)
    redis = cast(GatedRedis, GatedRedis.from_url(settings.cache_url, decode_responses=True))
    redis.gate = gate
    gate_scripts(gate, monkeypatch)
    seen = Redis.from_url(settings.cache_url, decode_responses=True)
    store = Store(settings.store_url, clock)
    players = Players(Cache(redis), store, clock)
    for name in ("admit", "checkout", "commit", "close", "close_player", "expire"):
        await seen.script_load(scripts.source(name))  # or the first run would have steps that no other has

    def worlds(scenario: Scenario) -> Callable[[], Awaitable[tuple[Sequence[Operation], Check]]]:
        async def make() -> tuple[Sequence[Operation], Check]:
            ids = [next(last_id), next(last_id)]
            for id_ in ids:
                await players.cache.open_account(
                    id_, bytes(16), f"player {id_}", "recruit", clock.now(), loaded=True
                )
            [(since, _)] = await cast(Any, seen.xrevrange(ONE.home.stream, count=1))
            world = World(players, seen, since, clock.now(), ids)
            return scenario(world), world.check

        return make

    try:
        yield lambda scenario: explore(gate, worlds(scenario))
    finally:
        await store.close()
        await redis.aclose()
        await seen.aclose()


@pytest.mark.parametrize("name", SCENARIOS)
async def test_in_every_order_a_player_is_in_one_match_and_a_closed_one_has_nobody(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with protocol(settings, monkeypatch) as explored:
        assert await explored(SCENARIOS[name]) > 5


# By fault: the script, what it replaces there by what, and the scenario that finds it.
FAULTS = {
    "the tombstone is not looked at": ("admit", "return 0", "return 1", "a late server and two directors"),
    "the mark is not looked at": (
        "checkout",
        "player[9] and string.find",
        "false and string.find",
        "the next match wants the player",
    ),
    "the lease is kept": (
        "close_player",
        "(state == 'held' or state == 'expired')",
        "false",
        "the next match wants the player",
    ),
    "a closed lease is committed": (
        "commit",
        "player[4] == 'closed'",
        "false",
        "a match that is forced while it is played",
    ),
    "who has come is closed": (
        "close",
        "(state == 'come' or ARGV[2] == '1')",
        "ARGV[2] == '1'",
        "a late server and two directors",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_planted_fault_is_caught(
    settings: Settings, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, right, wrong, scenario = FAULTS[fault]
    real = scripts.source

    def planted(name: str) -> str:
        text = real(name)
        assert name != script or right in text
        return text.replace(right, wrong) if name == script else text

    monkeypatch.setattr(scripts, "source", planted)
    async with protocol(settings, monkeypatch) as explored:
        with pytest.raises(AssertionError):
            await explored(SCENARIOS[scenario])
