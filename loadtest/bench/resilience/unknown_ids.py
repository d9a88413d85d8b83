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
from launchday.identity import Signer
from launchday.settings import Settings
from matchmaker.client import MatchmakerClient, MatchmakerClientError, MatchmakerUnavailableError
from matchmaker.rules.rules import BATTLE_ROYALE
from meta_service.client import MetaClient, MetaClientError, MetaUnavailableError

AT_ONCE = 16
REFUSED, ANSWERED, UNAVAILABLE = "refused", "answered", "no answer"
MAX_PLAYER_ID = 2**62
GUESS_EVERY = 100  # a password is guessed once in so many asks: each costs 20 ms of hashing


class UnknownIds:
    """Asks for ids drawn at random. Use it as an async context manager: it logs one player in.

    Args:
        settings: addresses of the services, and the secret that they share.
        rng: draws the ids.

    Attributes:
        asked: how many questions were answered or refused.
        answers: how many of each kind.
    """

    def __init__(self, settings: Settings, rng: np.random.Generator) -> None:
        service = Signer(settings.identity_secret.get_secret_value()).service_token("loadtest", time.time())
        self._rng = rng
        self._meta = MetaClient(settings.meta_url, service, connections=AT_ONCE, retry=False)
        self._matchmaker = MatchmakerClient(settings.matchmaker_url)
        self._fleet = FleetAdminClient(settings.fleet_url, service)
        self._token = ""
        self.answers: Counter[str] = Counter()

    @property
    def asked(self) -> int:
        """Questions that a service answered or refused."""
        return self.answers[ANSWERED] + self.answers[REFUSED]

    async def __aenter__(self) -> Self:
        self._token = (await self._meta.login_device("the one who asks for unknown ids")).session_token
        await self._meta.create_party(self._token)
        self._player = self._matchmaker.with_token(self._token)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._meta.close()
        await self._matchmaker.aclose()
        await self._fleet.aclose()

    async def ask(self, count: int, per_s: float) -> None:
        """Ask ``count`` questions at a steady rate, of all kinds in turn."""
        free = asyncio.Semaphore(AT_ONCE)
        kinds = self._kinds()
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as asking:
            for number in range(count):
                await asyncio.sleep(began_s + number / per_s - time.monotonic())
                await free.acquire()
                ask = self._guess if number % GUESS_EVERY == 0 else kinds[number % len(kinds)]
                asking.create_task(self._count(ask)).add_done_callback(lambda _: free.release())

    def _kinds(self) -> tuple[Callable[[], Awaitable[object]], ...]:
        meta, token, player, fleet = self._meta, self._token, self._player, self._fleet
        return (
            lambda: meta.request_friendship(token, self._number()),
            lambda: meta.accept_friendship(token, self._number()),
            lambda: meta.invite_to_party(token, self._number()),
            lambda: meta.accept_party(token, self._uuid()),
            lambda: meta.skills(BATTLE_ROYALE, [self._number() for _ in range(10)]),
            lambda: meta.party(self._uuid()),
            lambda: meta.match(self._uuid()),
            lambda: player.read_ticket(str(self._uuid())),
            lambda: player.cancel_ticket(str(self._uuid())),
            lambda: player.renew_token(str(self._uuid())),
            lambda: fleet.match(str(self._uuid())),
            lambda: fleet.gameserver(str(self._uuid())),
            lambda: meta.login_device(""),
        )

    def _guess(self) -> Awaitable[object]:
        return self._meta.login_password(f"nobody-{self._number()}", "a guess, of the right length")

    async def _count(self, ask: Callable[[], Awaitable[object]]) -> None:
        answer = ANSWERED
        try:
            await ask()
        except (MetaUnavailableError, MatchmakerUnavailableError, FleetUnavailableError):
            answer = UNAVAILABLE
        except (MetaClientError, MatchmakerClientError, FleetError):
            answer = REFUSED
        self.answers[answer] += 1

    def _number(self) -> int:
        return int(self._rng.integers(1, MAX_PLAYER_ID))

    def _uuid(self) -> UUID:
        return UUID(bytes=self._rng.bytes(16), version=4)
