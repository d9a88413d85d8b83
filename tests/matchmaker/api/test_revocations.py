"""Tokens that have not expired and open nothing any more: the matchmaker knows them, and asks nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from launchday.clock import ManualClock, SystemClock
from launchday.identity import OPERATOR
from launchday.settings import Settings
from matchmaker.api import revocations
from matchmaker.api.app import create_api
from matchmaker.api.revocations import RevocationFollower, RevokedTokens
from matchmaker.client import MatchmakerClient, MatchmakerUnavailableError, TicketRefusedError
from matchmaker.queue.queue import Queue
from meta_service.app import build
from meta_service.client import MetaClient, MetaUnavailableError, Revocation, Revocations
from tests.matchmaker.conftest import WEST_EUROPE, StubSkills, served, token_of
from tests.matchmaker.director.test_cancel import proposed, queue
from tests.waiting import until

__all__ = ["queue"]  # a fixture

MODE = "battle_royale"
NOW_S = 1_800_000_000.0


@dataclass
class Told:
    """What a meta service tells: the cursor counts it, a page has two."""

    told: list[Revocation] = field(default_factory=list)
    away: bool = False

    async def revocations(self, after: str = "0-0") -> Revocations:
        if self.away:
            raise MetaUnavailableError("no answer")
        done = int(after.partition("-")[0])
        page = self.told[done : done + 2]
        return Revocations(page, f"{done + len(page)}-0")


def ended(session_id: str, why: str, until_s: float = NOW_S + 900) -> Revocation:
    return Revocation(1, session_id, why, NOW_S, until_s, "")


def ban(player_id: int, until_s: float, why: str = "banned") -> Revocation:
    return Revocation(player_id, "", why, NOW_S, until_s, "spawn camping")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_S)


def how(revoked: RevokedTokens, session_id: str = "", player_id: int = 1) -> str | None:
    refusal = revoked.refusal(session_id, player_id)
    assert refusal is None or revoked.refuses(session_id, player_id)
    return None if refusal is None else refusal.slug


async def test_what_was_told_holds_until_its_end_also_while_the_meta_service_is_away(
    clock: ManualClock,
) -> None:
    source, revoked = Told(), RevokedTokens(clock)
    follower = RevocationFollower(revoked, source, clock)
    source.told = [
        ended("older", "superseded"), ended("out", "logged-out"), ended("stolen", "reused"),
        ban(2, NOW_S + 60), ban(3, 0.0), ban(4, 0.0), ban(4, -1.0, "unbanned"), ended("odd", "a later word"),
    ]  # fmt: skip
    await follower.follow()
    assert [how(revoked, each) for each in ("older", "out", "stolen", "odd", "live")] == [
        "session-superseded", "session-revoked", "session-revoked", "session-revoked", None,
    ]  # fmt: skip
    assert [how(revoked, player_id=player) for player in (2, 3, 4, 5)] == ["banned", "banned", None, None]
    source.away = True
    with pytest.raises(MetaUnavailableError):
        await follower.follow()
    clock.advance(61.0)
    assert [how(revoked, player_id=player) for player in (2, 3)] == [None, "banned"]
    assert how(revoked, "older") == "session-superseded"
    source.away = False
    clock.advance(900.0)
    await follower.follow()  # sweeps: nobody's token is left
    assert not revoked.refuses("older", 2)
    assert how(revoked, player_id=3) == "banned"
    assert revoked.is_banned(3)
    assert not revoked.is_banned(2)


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "MAX_SESSIONS", 2)
    monkeypatch.setattr(revocations, "MAX_BANS", 2)
    revoked = RevokedTokens(clock)
    for name in ("one", "two", "one", "three"):  # told again: as new
        revoked.take(ended(name, "superseded"))
    for player in (1, 2, 3):
        revoked.take(ban(player, 0.0))
    assert [how(revoked, name, 9) for name in ("one", "two", "three")] == [
        "session-superseded", None, "session-superseded",
    ]  # fmt: skip
    assert [how(revoked, player_id=player) for player in (1, 2, 3)] == [None, "banned", "banned"]


async def test_a_banned_player_gets_no_ticket_whatever_the_token_says(
    client: MatchmakerClient, skills: StubSkills
) -> None:
    skills.banned[1] = ("spawn camping", None)
    with pytest.raises(TicketRefusedError, match="spawn camping"):
        await client.with_token(token_of(1)).create_ticket(MODE, WEST_EUROPE)
    made = await client.create_tickets(
        [{"mode": MODE, "latencies_ms": WEST_EUROPE, "player_id": player} for player in (1, 2)]
    )
    assert [each["outcome"] for each in made] == ["refused", "created"]


@pytest.fixture
async def meta_url(settings: Settings) -> AsyncIterator[str]:
    async with served(build(settings)) as url:
        yield url


async def test_over_real_services_an_older_session_and_a_banned_player_find_every_door_shut(
    settings: Settings, meta_url: str
) -> None:
    own = settings.model_copy(update={"meta_url": meta_url, "tickets_per_player_s": 0.0})
    app = create_api(own, SystemClock())
    operator = app.state.signer.service_token("nina", time.time(), roles=(OPERATOR,))
    async with (
        served(app) as url,
        MetaClient(meta_url, operator) as meta,
        MatchmakerClient(url) as anybody,
    ):
        older = await meta.login_device("a-device-of-two-homes")
        newer = await meta.login_device("a-device-of-two-homes")
        stale, player = (anybody.with_token(each.session_token) for each in (older, newer))
        ticket = await player.create_ticket(MODE, WEST_EUROPE)

        async def shut(client: MatchmakerClient, slug: str) -> bool:
            doors = (
                lambda: client.create_ticket(MODE, WEST_EUROPE),
                lambda: client.read_ticket(ticket.ticket_id),
                lambda: client.renew_token(ticket.ticket_id),
                lambda: client.cancel_ticket(ticket.ticket_id),
            )
            for door in doors:
                try:
                    await door()
                except TicketRefusedError as refused:
                    if slug not in str(refused):
                        return False
                except Exception:
                    return False
                else:
                    return False
            return True

        await until(lambda: shut(stale, "elsewhere"), "the older session is known")
        assert (await player.read_ticket(ticket.ticket_id)).state == "searching"
        await meta.ban(newer.player_id, "spawn camping")
        await until(lambda: shut(player, "spawn camping"), "the ban is known")
        service = app.state.signer.service_token("tests", time.time())
        async with MatchmakerClient(url, service) as watching:

            async def cancelled() -> bool:
                return bool((await watching.counters())["cancelled"] == 1)

            await until(cancelled, "the ticket is cancelled")


async def test_whoever_waits_for_a_ticket_when_the_session_ends_gets_no_seat(
    mm_settings: Settings, skills: StubSkills, queue: Queue
) -> None:
    app = create_api(mm_settings, SystemClock(), skills)
    async with served(app) as url, MatchmakerClient(url) as anybody:
        match = await proposed(anybody, queue, range(1, 3))
        shut, free = (anybody.with_token(token_of(player)) for player in (1, 2))
        mine, other = match.ticket_ids
        notifier = app.state.matchmaker.notifier
        notifier.track(mine, 0)  # so the first stream is the framework's
        by_framework = shut.follow_ticket(mine)
        await anext(by_framework)
        notifier.track(mine, 1)
        streams = [by_framework, shut.follow_ticket(mine), free.follow_ticket(other)]
        for each in streams[1:]:
            await anext(each)
        polls = [
            asyncio.create_task(who.read_ticket(id_, 20.0)) for who, id_ in ((shut, mine), (free, other))
        ]
        await until(lambda: len(notifier) == 5, "all of them wait")
        app.state.revoked.take(ban(1, 0.0))
        views = [
            f'{{"ticket_id":"{id_}","state":"assigned","reason":null,"assignment":null}}'
            for id_ in (mine, other)
        ]
        await queue.assign(match, [view.encode() for view in views], 2.0)
        with pytest.raises(TicketRefusedError, match="spawn camping"):
            await polls[0]
        for each in streams[:2]:
            with pytest.raises(MatchmakerUnavailableError, match="ended the event stream"):
                await anext(each)
        assert {(await polls[1]).state, (await anext(streams[2])).state} == {"assigned"}
