"""A matchmaker's surroundings: a real cache, the real API over HTTP, and small stand-ins for the services it
calls.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import SecretStr
from redis.asyncio import Redis

from dedicated_server.agones_sdk import FLEET_LABEL, MATCH_ANNOTATION
from dedicated_server.fleet.client import AllocatorClient, FleetUnavailableError, MatchStatus
from launchday.clock import SystemClock
from launchday.identity import Signer
from launchday.resilience.admission.protocol import guarded_by
from launchday.service import gate_of
from launchday.settings import Settings
from matchmaker.api.app import create_api
from matchmaker.api.skills import HeldPlayer, PlayerSkills
from matchmaker.client import MatchmakerClient
from matchmaker.director.director import Director
from matchmaker.errors import SkillsRefusedError, SkillsUnavailableError
from matchmaker.matching.warm_up import warm_up
from matchmaker.queue.cache import open_cache
from matchmaker.queue.scripts import Scripts
from matchmaker.rules.modes import load_rules
from meta_service.client import MetaUnavailableError, PartyClaim
from tests.matchmaker.checked_scripts import all_checked
from tests.waiting import until

SECRET = "matchmaker-tests-0123456789abcdef"
WEST_EUROPE = {"west-europe": 12.0, "east-us": 88.0}
EAST_US = {"west-europe": 90.0, "east-us": 15.0}


@pytest.fixture(autouse=True)
def every_key_is_named(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """All scripts of all tests here name the keys that they use, and ask for them before any change."""
    with all_checked(monkeypatch) as found:
        yield found
    assert found == []


@pytest.fixture
def mm_overrides() -> dict[str, Any]:
    """Settings that a test wants otherwise; parametrize it."""
    return {}


@pytest.fixture
def mm_settings(cache_url: str, tmp_path: Path, mm_overrides: dict[str, Any]) -> Settings:
    return Settings(
        state_dir=tmp_path,
        cache_url=cache_url,
        identity_secret=SecretStr(SECRET),
        fleet_key=SecretStr("ab" * 32),
        match_players=4,
        match_s=45.0,
        match_min_players=2,
        match_fill_s=20.0,
        matching_period_s=0.02,
        allocation_timeout_s=1.0,
        server_answer_s=0.0,  # the stub fleet has addresses, and nobody behind them
        tickets_per_player_s=0.0,
        director_port=0,
    ).model_copy(update=mm_overrides)


@pytest.fixture
async def cache(mm_settings: Settings) -> AsyncIterator[Redis]:
    async with open_cache(mm_settings.cache_url) as client:
        yield client


@pytest.fixture
def scripts(cache: Redis, mm_settings: Settings) -> Scripts:
    return Scripts(cache, mm_settings.ticket_retention_s, SystemClock())


@dataclass
class StubSkills:
    """Skills without a meta service, which refuses whom it does not know and a player who is named twice."""

    means: dict[int, float] = field(default_factory=dict)
    held: dict[int, HeldPlayer] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    logged_out: set[int] = field(default_factory=set)
    banned: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    queued: dict[int, str] = field(default_factory=dict)
    void: dict[int, str] = field(default_factory=dict)
    blocked: dict[int, list[int]] = field(default_factory=dict)
    away: bool = False
    calls: int = 0

    async def skills(self, mode: str, player_ids: Sequence[int], *, blocks: bool = False) -> PlayerSkills:
        self.calls += 1
        if self.away:
            raise SkillsUnavailableError("the meta service is away")
        if len(set(player_ids)) < len(player_ids) or not self.unknown.isdisjoint(player_ids):
            raise SkillsRefusedError("422 invalid-request")
        return PlayerSkills(
            {player_id: (self.means.get(player_id, 25.0), 8.333) for player_id in player_ids},
            {player_id: held for player_id, held in self.held.items() if player_id in player_ids},
            self.logged_out.intersection(player_ids),
            banned={player_id: ban for player_id, ban in self.banned.items() if player_id in player_ids},
            queued={player_id: claim for player_id, claim in self.queued.items() if player_id in player_ids},
            void={player_id: claim for player_id, claim in self.void.items() if player_id in player_ids},
            blocked={id_: others for id_, others in self.blocked.items() if blocks and id_ in player_ids},
        )


@dataclass
class StubMeta:
    """The arbiter of matches: which are closed, and which have come."""

    come: set[str] = field(default_factory=set)
    closed: list[tuple[str, bool]] = field(default_factory=list)  # match, whether it was forced
    away: bool = False
    calls: int = 0

    async def close_match(self, match_id: UUID, player_ids: Sequence[int], force: bool = False) -> bool:
        self.calls += 1
        if self.away:
            raise MetaUnavailableError("no answer")
        if str(match_id) in self.come and not force:
            return False
        self.closed.append((str(match_id), force))
        return True


@dataclass
class KnowingFleet:
    """What a fleet says of matches."""

    dead: dict[str, str] = field(default_factory=dict)  # match → why its server is gone
    ended: list[str] = field(default_factory=list)
    away: bool = False

    async def match(self, match_id: str) -> MatchStatus | None:
        if self.away:
            raise FleetUnavailableError("no answer")
        reason = self.dead.get(match_id)
        state = "Allocated" if reason is None else "Shutdown"
        return MatchStatus(state, "gs", reason is None, 0.5, True, reason or "")

    async def end_match(self, match_id: str) -> None:
        if self.away:
            raise FleetUnavailableError("no answer")
        self.ended.append(match_id)


class StubFleet:
    """An allocator over HTTP in Agones' JSON, with servers by region and the same server for the same key."""

    def __init__(self, servers: Mapping[str, int]) -> None:
        self.ready = Counter(servers)
        self.matches: dict[str, dict[str, Any]] = {}  # idempotency key → the match as last given
        self.ports: dict[str, int] = {}
        self.answers_to_lose = 0
        self.refuse = False
        self.calls = 0
        self.app = FastAPI()
        self.app.post("/gameserverallocation")(self._allocate)

    async def _allocate(self, request: Request) -> Response:
        self.calls += 1
        body = await request.json()
        key = request.headers["Idempotency-Key"]
        region = body["gameServerSelectors"][0]["matchLabels"][FLEET_LABEL]
        if self.refuse:
            return JSONResponse({"detail": "no such fleet"}, 404)
        if key not in self.ports:
            if self.ready[region] == 0:
                return JSONResponse({"detail": "none ready"}, 429)
            self.ready[region] -= 1
            self.ports[key] = 7000 + len(self.ports)
        match = json.loads(body["metadata"]["annotations"][MATCH_ANNOTATION])
        assert self.matches.setdefault(key, match) == match
        if self.answers_to_lose > 0:
            self.answers_to_lose -= 1
            return JSONResponse({"detail": "the answer was lost"}, 502)
        return JSONResponse(
            {
                "gameServerName": f"gs-{key}",
                "address": "127.0.0.1",
                "ports": [{"name": "default", "port": self.ports[key]}],
            }
        )


@pytest.fixture
def skills() -> StubSkills:
    return StubSkills()


@pytest.fixture
def meta() -> StubMeta:
    return StubMeta()


@pytest.fixture
def knowing() -> KnowingFleet:
    return KnowingFleet()


@pytest.fixture
async def fleet() -> StubFleet:
    return StubFleet({"west-europe": 100, "east-us": 100})


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """Serve an application on a free loopback port; gives its base URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        protocol = guarded_by(gate_of(app)) if hasattr(app.state, "admission") else "httptools"
        config = uvicorn.Config(
            app, log_config=None, timeout_graceful_shutdown=1, lifespan="on", http=protocol
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        serving = asyncio.create_task(server._serve(sockets=[listener]))
        await until(lambda: server.started or serving.done(), "the application starts")
        assert server.started, "the application did not start"
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
async def api_url(mm_settings: Settings, skills: StubSkills) -> AsyncIterator[str]:
    async with served(create_api(mm_settings, SystemClock(), skills)) as url:
        yield url


@pytest.fixture
async def client(api_url: str) -> AsyncIterator[MatchmakerClient]:
    """A client with a service token; ``client.with_token(token_of(…))`` makes a player's."""
    token = Signer(SECRET).service_token("tests", time.time())
    async with MatchmakerClient(api_url, token) as made:
        yield made


def token_of(player_id: int) -> str:
    return Signer(SECRET).player_token(player_id, time.time(), 3600)


def claim_of(
    name: str,
    players: Iterable[int],
    mode: str = "battle_royale",
    *,
    left_s: float = 60.0,
    secret: str = SECRET,
) -> str:
    """What the meta service signs when a party of these players queues; one name is one queueing."""
    queueing = uuid5(NAMESPACE_OID, name)
    claim = PartyClaim(queueing, UUID(int=1), 1, mode, list(players), time.time() + left_s)
    return claim.sign(Signer(secret))


@pytest.fixture
async def allocator(fleet: StubFleet) -> AsyncIterator[AllocatorClient]:
    async with served(fleet.app) as url, AllocatorClient(url) as made:
        yield made


@pytest.fixture(scope="session")
def loaded_kernels() -> None:
    """Load the matching kernels before anything waits: it may take longer than players have to accept."""
    warm_up()


MakeDirector = Callable[[Settings], Director]


@pytest.fixture
def make_director(
    loaded_kernels: None, cache: Redis, allocator: AllocatorClient, knowing: KnowingFleet, meta: StubMeta
) -> MakeDirector:
    def make(settings: Settings) -> Director:
        rules = load_rules(settings)["battle_royale"]
        return Director(rules, settings, cache, allocator, fleet=knowing, meta=meta, clock=SystemClock())

    return make


@pytest.fixture
def make_team_director(
    loaded_kernels: None, cache: Redis, allocator: AllocatorClient, knowing: KnowingFleet, meta: StubMeta
) -> MakeDirector:
    def make(settings: Settings) -> Director:
        rules = load_rules(settings)["teams_of_five"]
        return Director(rules, settings, cache, allocator, fleet=knowing, meta=meta, clock=SystemClock())

    return make


@asynccontextmanager
async def running(director: Director) -> AsyncIterator[asyncio.Task[None]]:
    """A director at work; ended like a stopped process."""
    task = asyncio.create_task(director.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
