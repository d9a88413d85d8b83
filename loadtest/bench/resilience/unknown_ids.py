"""Questions about ids that nobody has, to every service that answers any, through its own client."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self
from uuid import UUID

import numpy as np

from dedicated_server.fleet.client import FleetAdminClient, FleetError, FleetUnavailableError
from launchday.identity import signer_of
from launchday.settings import Settings
from loadtest.errors import BenchError
from matchmaker.client import MatchmakerClient, MatchmakerClientError, MatchmakerUnavailableError
from meta_service.client import MetaClient, MetaClientError, MetaUnavailableError

AT_ONCE = 16
MOST_AT_ONCE = 256
DEVICE = "asks-for-unknown-ids"
REFUSED, ANSWERED, UNAVAILABLE = "refused", "answered", "no answer"
MAX_PLAYER_ID = 2**62
# A guess costs 20 ms of hashing, and a player may ask for a token once a second: each once in so many asks.
RARE = ("password", "ticket for a token")
RARE_EVERY = 100


class UnknownIds:
    """Asks for ids drawn at random. Use it as an async context manager: it logs one player in.

    Args:
        settings: addresses of the services, and the secret that they share.
        rng: draws the ids.

    Attributes:
        asked: how many questions were answered or refused.
        answers: how many of each kind.
        unavailable: what had no answer, and why, and how often.
    """

    def __init__(self, settings: Settings, rng: np.random.Generator) -> None:
        service = signer_of(settings, "loadtest").service_token("loadtest", time.time())
        self._rng = rng
        self._meta = MetaClient(settings.meta_url, service, connections=MOST_AT_ONCE, retry=False)
        self._matchmaker = MatchmakerClient(settings.matchmaker_url)
        self._fleet = FleetAdminClient(settings.fleet_url, service)
        self._token = ""
        self.answers: Counter[str] = Counter()
        self.unavailable: Counter[str] = Counter()

    @property
    def asked(self) -> int:
        """Questions that a service answered or refused."""
        return self.answers[ANSWERED] + self.answers[REFUSED]

    async def __aenter__(self) -> Self:
        try:
            self._token = (await self._meta.login_device(DEVICE)).session_token
            await self._meta.create_party(self._token)
        except MetaClientError as error:
            raise BenchError(f"nobody can be logged in to ask for unknown ids: {error}") from error
        self._player = self._matchmaker.with_token(self._token)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._meta.close()
        await self._matchmaker.aclose()
        await self._fleet.aclose()

    async def ask(self, count: int, per_s: float, at_once: int = AT_ONCE) -> None:
        """Ask ``count`` questions at a steady rate, of all kinds in turn; ``at_once`` wait at most."""
        free = asyncio.Semaphore(at_once)
        kinds = self._kinds()
        ordinary = [kind for kind in kinds if kind not in RARE]
        rare = dict(enumerate(RARE))
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as asking:
            for number in range(count):
                await asyncio.sleep(began_s + number / per_s - time.monotonic())
                await free.acquire()
                kind = rare.get(number % RARE_EVERY, ordinary[number % len(ordinary)])
                asking.create_task(self._count(kind, kinds[kind])).add_done_callback(lambda _: free.release())

    def _kinds(self) -> dict[str, Callable[[], Awaitable[object]]]:
        meta, token, player, fleet = self._meta, self._token, self._player, self._fleet
        return {
            "friend": lambda: meta.request_friendship(token, self._number()),
            "friend's request": lambda: meta.accept_friendship(token, self._number()),
            "guest of a party": lambda: meta.invite_to_party(token, self._number()),
            "invitation": lambda: meta.accept_party(token, self._uuid()),
            "skill": lambda: meta.skills("battle_royale", [self._number() for _ in range(10)]),
            "party": lambda: meta.party(self._uuid()),
            "past match": lambda: meta.match(self._uuid()),
            "ticket": lambda: player.read_ticket(str(self._uuid())),
            "ticket to cancel": lambda: player.cancel_ticket(str(self._uuid())),
            "ticket for a token": lambda: player.renew_token(str(self._uuid())),
            "match": lambda: fleet.match(str(self._uuid())),
            "game server": lambda: fleet.gameserver(str(self._uuid())),
            "password": lambda: meta.login_password(f"nobody-{self._number()}", "a guess, long enough"),
        }

    async def _count(self, kind: str, ask: Callable[[], Awaitable[object]]) -> None:
        answer = ANSWERED
        try:
            await ask()
        except (MetaUnavailableError, MatchmakerUnavailableError, FleetUnavailableError) as error:
            answer = UNAVAILABLE
            self.unavailable[f"{kind}: {error}"] += 1
        except (MetaClientError, MatchmakerClientError, FleetError):
            answer = REFUSED
        self.answers[answer] += 1

    def _number(self) -> int:
        return int(self._rng.integers(1, MAX_PLAYER_ID))

    def _uuid(self) -> UUID:
        return UUID(bytes=self._rng.bytes(16), version=4)
