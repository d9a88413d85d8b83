"""What players of a region do all the time, and what of it was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from loadtest.bench.engines.measuring import Load
from loadtest.bench.engines.meta_services import CRATE, SKINS
from loadtest.bench.engines.regions.world import Region
from meta_service.client import MetaClient, MetaUnavailableError, PlayerCommit, Session

PLAYERS, SPENDERS = 8, 4  # of a region; each does one thing at a time
PAUSE_S = 0.2  # before each request, so that one region can take the players of both
MONEY = 1_000  # of a spender, to begin with
LEASE_S = 20.0


@dataclass
class Player:
    """One of a region's players.

    Attributes:
        version: of the newest loadout that was acknowledged.
        versions: of every one, with the time at which it was.
    """

    device: str
    session: Session
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    version: int = 0
    versions: list[tuple[float, int]] = field(default_factory=list)

    @property
    def player_id(self) -> int:
        """As the service knows them."""
        return self.session.player_id


@dataclass
class Acknowledged:
    """What players of a region were told.

    Attributes:
        balances: what each spender's wallet must hold.
        purchases: how many each has made.
        open_keys: purchases and grants without an answer, (player, key, whether it is a grant).
        results: matches whose result was taken, with the player, and when.
        times_s: how long each kind of request took that was answered.
        refused_s: how long a purchase took that was refused because the store was away.
    """

    balances: dict[int, int] = field(default_factory=dict)
    purchases: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    open_keys: list[tuple[Player, str, bool]] = field(default_factory=list)
    results: dict[tuple[UUID, int], float] = field(default_factory=dict)
    times_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused_s: list[float] = field(default_factory=list)


class Playing:
    """Logins, loadouts and matches of a region's players: what the cache alone can answer."""

    def __init__(self, region: Region, players: list[Player], told: Acknowledged) -> None:
        self.region, self.players, self._told = region, players, told
        self.client: MetaClient = region.client

    async def ask(self, number: int) -> bool:
        """Log in, change a loadout, or play a match to its end."""
        player = self.players[number % len(self.players)]
        await asyncio.sleep(PAUSE_S)
        async with player.lock:
            began = time.monotonic()
            match number // len(self.players) % 4:
                case 0:
                    player.session = await self.client.login_device(player.device)
                    kind = "login"
                case 2:
                    await self._play(player)
                    kind = "match"
                case _:
                    skin = SKINS[number // len(self.players) % 2]
                    accepted = await self.client.set_loadout(player.session.session_token, skin)
                    player.version = max(player.version, accepted.version)
                    player.versions.append((time.monotonic(), accepted.version))
                    kind = "loadout"
            self._told.times_s[kind].append(time.monotonic() - began)
        return True

    async def _play(self, player: Player) -> None:
        match, region = uuid4(), self.region.name
        out = await self.client.check_out(match, f"{region}-stub", region, LEASE_S, [player.player_id])
        if out.refused:
            raise CheckoutRefusedError(out.refused[0].reason)
        row = PlayerCommit(player.player_id, out.checked_out[0].fence, placement=1, kills=1, played_s=1.0)
        if refused := (await self.client.commit(match, [row])).refused:
            raise CheckoutRefusedError(refused[0].reason)
        self._told.results[match, player.player_id] = time.monotonic()


class Spending:
    """Purchases and grants: what the store has to answer."""

    def __init__(self, region: Region, players: list[Player], told: Acknowledged) -> None:
        self.region, self.players, self._told = region, players, told
        self.client: MetaClient = region.client

    async def ask(self, number: int) -> bool:
        """Buy a crate, or be granted two coins."""
        player = self.players[number % len(self.players)]
        is_grant = number // len(self.players) % 2 == 1
        await asyncio.sleep(PAUSE_S)
        async with player.lock:
            key, began = str(uuid4()), time.monotonic()
            try:
                await self._pay(player, key, is_grant)
            except MetaUnavailableError:
                self._told.open_keys.append((player, key, is_grant))
                self._told.refused_s.append(time.monotonic() - began)
                raise
            self._told.times_s["grant" if is_grant else "purchase"].append(time.monotonic() - began)
        return True

    async def settle(self, client: MetaClient) -> None:
        """Ask again, under their keys, for all that was not answered. Raises MetaUnavailableError."""
        while self._told.open_keys:
            player, key, is_grant = self._told.open_keys[-1]
            player.session = await client.login_device(player.device)
            await self._pay(player, key, is_grant, client)
            self._told.open_keys.pop()

    async def _pay(self, player: Player, key: str, is_grant: bool, client: MetaClient | None = None) -> None:
        asked = client or self.client
        if is_grant:
            await asked.grant(key, player.player_id, CRATE.currency or "", 2, "a bench")
            self._told.balances[player.player_id] += 2
        else:
            await asked.purchase(player.session.session_token, key, CRATE.item_id)
            self._told.balances[player.player_id] -= CRATE.price or 0
            self._told.purchases[player.player_id] += 1


class CheckoutRefusedError(Exception):
    """Raised when a player was not checked out, or a result was not taken; says why."""


@dataclass
class Side:
    """One region's players, and their load.

    Attributes:
        playing, spending: the load that runs now.
    """

    region: Region
    told: Acknowledged
    players: list[Player]
    spenders: list[Player]
    playing: Load = field(init=False)
    spending: Load = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Make the load of a measurement."""
        self.playing = Load(Playing(self.region, self.players, self.told))  # type: ignore[arg-type]
        self.spending = Load(Spending(self.region, self.spenders, self.told))  # type: ignore[arg-type]


async def populate(region: Region) -> Side:
    """Log a region's players in, and give its spenders money."""
    told = Acknowledged()
    players = []
    for number in range(PLAYERS + SPENDERS):
        device = f"{region.name}-device-{number}"
        players.append(Player(device, await region.client.login_device(device)))
    spenders = players[PLAYERS:]
    for player in spenders:
        await region.client.grant(
            str(uuid4()), player.player_id, CRATE.currency or "", MONEY, "to begin with"
        )
        told.balances[player.player_id] = MONEY
    return Side(region, told, players[:PLAYERS], spenders)


def all_players(sides: tuple[Side, ...]) -> list[Player]:
    """Everybody."""
    return list(itertools.chain.from_iterable((*side.players, *side.spenders) for side in sides))
