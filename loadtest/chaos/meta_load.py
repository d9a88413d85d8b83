"""The load of the chaos run: clients that change loadouts, buy, refund, check out and commit, and log each
operation.

``python -m loadtest.chaos.meta_load LOG`` runs until SIGTERM and then finishes what is in flight: every
request is repeated, under its key, until it has an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import TypeVar
from uuid import UUID

import uvloop

from launchday import startup
from launchday.identity import signer_of
from launchday.settings import settings
from loadtest.chaos.operation_log import OperationLog
from meta_service.client import MetaClient, MetaRefusedError, MetaUnavailableError, PlayerCommit, Session
from meta_service.store.catalogue import Item

PRICE = 7  # coins, of a crate
CRATE = Item(
    item_id="chaos-crate",
    kind="consumable",
    title="Crate",
    currency="coins",
    price=PRICE,
    stock=10**9,
    max_owned=10**9,
    refundable_s=10**6,
)
SKINS = [  # free, so everybody may wear them; many, so that one is seldom worn twice in a row
    Item(item_id=f"chaos-skin-{number}", kind="skin", title="Skin", currency="coins", price=0)
    for number in range(100)
]
PLAYERS = 12
LOADOUT_CLIENTS = (
    4  # players who change their loadout, each with one client, so that the last choice is known
)
BUYERS = 6  # clients that compete for the wallets of three players
SERVERS = 4  # game servers that compete for the same players
MATCH_PLAYERS = 3
GIVEN_UP = 0.25  # of the matches are closed by a director or two, half of them by force
LATE = 0.25  # of the servers ask for their players only when somebody may have given them up
LEASE_S = 0.25  # short, so that leases of crashed servers are taken over all the time
PAUSE_S = 0.004  # between two requests of a client: keeps the machine busy and not overloaded
RETRY_S = 0.05

T = TypeVar("T")


class MetaLoad:
    """All clients of one run."""

    def __init__(self, client: MetaClient, log: OperationLog, seed: int) -> None:
        self._client = client
        self._log = log
        self._random = Random(seed)
        self._logins: list[Session] = []
        self.stop = asyncio.Event()

    async def run(self) -> None:
        """Log in, and send requests until ``stop`` is set."""
        await self.log_in()
        async with asyncio.TaskGroup() as clients:
            for login in self._logins[:LOADOUT_CLIENTS]:
                clients.create_task(self._repeat(self.change_loadout, login))
            for number in range(BUYERS):
                clients.create_task(self._repeat(self.trade, self._logins[number % 3]))
            for number in range(SERVERS):
                clients.create_task(self._repeat(self.play_match, f"server-{number}"))

    async def log_in(self) -> None:
        """Open the players' accounts."""
        for number in range(PLAYERS):
            device = f"chaos-{number}-{self._random.getrandbits(64):x}"
            self._logins.append(await self._until_answered(lambda d=device: self._client.login_device(d)))  # type: ignore[misc]
            self._log.acknowledged("login", player=self._logins[-1].player_id)

    @property
    def logins(self) -> list[Session]:
        """The players."""
        return self._logins

    async def change_loadout(self, login: Session) -> None:
        """Change a loadout, then read the profile."""
        player, skin = login.player_id, self._random.choice(SKINS).item_id
        self._log.sent("set_loadout", player=player, skin=skin)
        changed = await self._until_answered(lambda: self._client.set_loadout(login.session_token, skin))
        self._log.acknowledged("set_loadout", player=player, skin=skin, version=changed.version)
        seen = await self._until_answered(lambda: self._client.profile(login.session_token))
        self._log.acknowledged("read_profile", player=player, skin=seen.skin, version=seen.version)

    async def trade(self, login: Session) -> None:
        """Buy; get money where there is none; refund one purchase in five."""
        player, key = login.player_id, f"{self._random.getrandbits(96):024x}"
        self._log.sent("buy", player=player, key=key)
        try:
            bought = await self._until_answered(
                lambda: self._client.purchase(login.session_token, key, CRATE.item_id)
            )
        except MetaRefusedError as error:
            self._log.refused("buy", player=player, key=key, kind=error.kind)
            await self._fund(player)
            return
        purchase = str(bought.purchase_id)
        self._log.acknowledged("buy", player=player, key=key, purchase=purchase, paid=bought.paid)
        if self._random.random() < 0.2:
            self._log.sent("refund", player=player, purchase=purchase)
            await self._until_answered(lambda: self._client.refund(login.session_token, bought.purchase_id))
            self._log.acknowledged("refund", player=player, purchase=purchase)

    async def _fund(self, player: int) -> None:
        key, amount = f"{self._random.getrandbits(96):024x}", 5 * PRICE
        self._log.sent("grant", player=player, key=key, amount=amount)
        await self._until_answered(lambda: self._client.grant(key, player, "coins", amount, "chaos"))
        self._log.acknowledged("grant", player=player, key=key, amount=amount)

    async def play_match(self, server: str) -> None:
        """Check players out and commit; or stall, and commit when the lease has expired; or be given up."""
        match = UUID(int=self._random.getrandbits(128), version=4)
        wanted = [
            login.player_id for login in self._random.sample(self._logins[LOADOUT_CLIENTS:], MATCH_PLAYERS)
        ]
        async with asyncio.TaskGroup() as tasks:
            if self._random.random() < GIVEN_UP:
                for director in range(self._random.choice((1, 1, 2))):  # two may ask at once
                    tasks.create_task(self._give_up(match, wanted, director))
            await self._check_out_and_commit(match, server, wanted)

    async def _give_up(self, match: UUID, players: list[int], director: int) -> None:
        """Close a match, at some moment of its life."""
        force = self._random.random() < 0.5
        await asyncio.sleep(self._random.uniform(0.0, 2.0) * LEASE_S)
        self._log.sent("close", match=str(match), director=director, force=force)
        closed = await self._until_answered(lambda: self._client.close_match(match, players, force))
        self._log.acknowledged("close", match=str(match), director=director, force=force, closed=closed)

    async def _check_out_and_commit(self, match: UUID, server: str, wanted: list[int]) -> None:
        if self._random.random() < LATE:
            await asyncio.sleep(self._random.uniform(0.0, 2.0) * LEASE_S)
        self._log.sent("checkout", match=str(match), server=server, players=wanted, lease_s=LEASE_S)
        try:
            answer = await self._until_answered(
                lambda: self._client.check_out(match, server, "east-us", LEASE_S, wanted)
            )
        except MetaRefusedError as error:
            self._log.refused("checkout", match=str(match), kind=error.kind)
            return
        for player in answer.checked_out:
            self._log.acknowledged(
                "checkout", match=str(match), server=server, player=player.player_id, fence=player.fence
            )
        if not answer.checked_out:
            return
        if self._random.random() < 0.4:
            await asyncio.sleep(self._random.uniform(0.5, 2.0) * LEASE_S)
        results = [
            PlayerCommit(player.player_id, player.fence, place, self._random.randrange(20), 1.0)
            for place, player in enumerate(answer.checked_out, start=1)
        ]
        told = {result.player_id: result for result in results}
        self._log.sent(
            "commit", match=str(match), players=[[result.player_id, result.fence] for result in results]
        )
        committed = await self._until_answered(lambda: self._client.commit(match, results))
        for player_id in committed.committed:
            result = told[player_id]
            self._log.acknowledged(
                "commit",
                match=str(match),
                player=player_id,
                fence=result.fence,
                placement=result.placement,
                kills=result.kills,
            )
        for refusal in committed.refused:
            fence = told[refusal.player_id].fence
            self._log.refused("commit", player=refusal.player_id, fence=fence, kind=refusal.reason)

    async def _repeat(self, play: Callable[[T], Awaitable[None]], who: T) -> None:
        while not self.stop.is_set():
            await play(who)
            await asyncio.sleep(PAUSE_S)

    async def _until_answered(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except MetaUnavailableError:
                await asyncio.sleep(RETRY_S)


async def _run(log: Path, seed: int) -> None:
    own = settings()
    token = signer_of(own, "loadtest").service_token("chaos", time.time())
    with OperationLog(log) as written:
        async with MetaClient(own.meta_url, token) as client:
            load = MetaLoad(client, written, seed)
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, load.stop.set)
            await load.run()


def main() -> None:
    """Send requests until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.chaos.meta_load", description=__doc__)
    parser.add_argument("log", type=Path, help="the file that is written")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_run(arguments.log, arguments.seed))


if __name__ == "__main__":
    startup.prepare()
    main()
