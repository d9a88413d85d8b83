"""Random operations of players, operators and game servers, many at once; each is noted before and after.

Who does what is drawn from a seed; what happens at the same time is the machine's. Every request is repeated,
under its key, until it has an answer, so that what was acknowledged is known to have been done once. Where an
answer was lost and the repeat is refused, for a newer login or an emptied wallet, nobody knows whether it was
done: that is asked again where it can be, and else noted, so that the audit leaves the player out.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar
from uuid import UUID

from loadtest.bench.players import world as setting
from loadtest.bench.players.world import PlayersWorld
from loadtest.chaos.operation_log import OperationLog
from meta_service.client import MetaClient, MetaRefusedError, MetaUnavailableError, PlayerCommit
from rewards.events import Envelope, PlayerPlacement, Source, kill, match_ended
from rewards.events.ids import EventIds

PLAYERS = 40
CALLERS = 16
MATCH_PLAYERS = 4
MODE = "teams_of_five"
RETRY_S = 0.05
LEARN_TRIES = 10
LEASE_S = 5.0
AGAIN = 0.1  # of the requests under a key are sent twice at once
TOLD_TWICE = 0.4  # of the matches
START_MONEY = 300
REASON = "bench"
# Some look alike, some are one name in other letters, some are refused.
NAMES = (
    *("Falcon", "FALCON", "falc0n", "Fа1con", "Ｆａｌｃｏｎ", "Straße", "STRASSE", "İstanbul", "istanbul"),
    *(
        "Zoë",
        "Zoe\u0308",
        "Zoe",
        "نجمة",
        "כוכב",
        "🦊🚀",
        "👩‍🚀",
        "Player 000007",
        "admin\u202e",
        "  ",
        "ok\x07",
    ),
    *(f"Rider {number}" for number in range(60)),
)

T = TypeVar("T")


class LostAnswerError(MetaRefusedError):
    """Raised when a request is refused of which an earlier try had no answer, or failed: it may be done."""


@dataclass(eq=False)
class Player:
    """One simulated player.

    Attributes:
        devices: all that log in to the account.
        token: of the newest session that is known.
        purchases: made, and not known to be refunded.
    """

    player_id: int
    devices: list[str]
    token: str
    purchases: list[UUID] = field(default_factory=list)
    deleted: bool = False


class RandomLives:
    """The players of a round and all that happens to them.

    Args:
        world: where.
        log: is told of every operation.
        seed: of who does what.
    """

    def __init__(self, world: PlayersWorld, log: OperationLog, seed: int) -> None:
        self._world = world
        self._log = log
        self._random = Random(seed)
        self._players: list[Player] = []
        self.refused = 0
        self._ways: list[tuple[int, Callable[[Player], Awaitable[None]]]] = [
            *((14, self._buy), (6, self._refund), (14, self._wear), (5, self._rename), (6, self._log_in)),
            *((5, self._grant), (4, self._debit), (5, self._give), (5, self._take), (2, self._ban)),
            *((9, self._befriend), (10, self._party), (2, self._link), (8, self._play), (4, self._look)),
            *((1, self._export), (1, self._delete)),
        ]

    async def run(self, operations: int) -> None:
        """Log the players in, make ``operations`` operations, and wait for their answers."""
        for _ in range(PLAYERS):
            self._players.append(await self._newcomer())
        left = itertools.repeat(None, operations)
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(self._act(left))
        await self._world.producer.flush(60.0)

    async def _act(self, left: itertools.repeat[None]) -> None:
        weights = [weight for weight, _ in self._ways]
        steps = [step for _, step in self._ways]
        for _ in left:
            (step,) = self._random.choices(steps, weights)
            player = self._random.choice(self._players)
            try:
                await step(player)
            except MetaRefusedError:
                self.refused += 1

    # --- what players do ----------------------------------------------------------------------------------

    async def _newcomer(self) -> Player:
        device = f"bench-{self._random.getrandbits(96):024x}"
        session = await self._until_answered(lambda: self._service.login_device(device))
        player = Player(session.player_id, [device], session.session_token)
        self._log.acknowledged("open", player=player.player_id)
        key = self._key()
        with self._left_out_if_lost(player):
            await self._once(lambda: self._service.grant(key, player.player_id, "coins", START_MONEY, REASON))
        self._log.acknowledged("money", player=player.player_id, amount=START_MONEY)
        return player

    async def _log_in(self, player: Player) -> None:
        device = self._random.choice(player.devices)
        sent = time.monotonic_ns()
        session = await self._until_answered(lambda: self._service.login_device(device))
        # The device of a player who was deleted meanwhile opens another account.
        self._log.acknowledged("login", player=session.player_id, sent=sent)
        if session.player_id == player.player_id:
            player.token = session.session_token

    async def _buy(self, player: Player) -> None:
        item = self._random.choice((*setting.SKINS, *setting.EMOTES, setting.CRATE, setting.RARE))
        quantity = self._random.choice((1, 1, 1, 2, 3))
        key, token = self._key(), player.token
        with self._left_out_if_lost(player):
            try:
                bought = await self._once(lambda: self._service.purchase(token, key, item, quantity))
            except LostAnswerError:
                bought = await self._learn(
                    player, lambda: self._service.purchase(player.token, key, item, quantity)
                )
        player.purchases.append(bought.purchase_id)
        self._log.acknowledged("money", player=player.player_id, amount=-bought.paid)
        self._log.acknowledged("items", player=player.player_id, item=item, quantity=quantity)
        self._log.acknowledged(
            "purchase",
            purchase=str(bought.purchase_id),
            player=player.player_id,
            item=item,
            quantity=quantity,
        )

    async def _refund(self, player: Player) -> None:
        if not player.purchases:
            return
        purchase, token = self._random.choice(player.purchases), player.token
        own = self._random.random() < 0.5
        with self._left_out_if_lost(player):
            try:
                if own:
                    await self._until_answered(lambda: self._service.refund(token, purchase))
                else:
                    await self._until_answered(lambda: self._service.refund_for_player(purchase))
            except LostAnswerError:
                await self._learn(player, lambda: self._service.refund_for_player(purchase))
        self._log.acknowledged("refund", purchase=str(purchase), player=player.player_id)

    async def _wear(self, player: Player) -> None:
        skin = self._random.choice(
            (*setting.SKINS, setting.FREE_SKIN, setting.TIER_ITEM, "recruit", "never-existed")
        )
        emotes = self._random.sample((*setting.EMOTES, setting.FREE_EMOTE), self._random.randrange(3))
        token = player.token
        await self._until_answered(lambda: self._service.set_loadout(token, skin, emotes=emotes))

    async def _rename(self, player: Player) -> None:
        name, token = self._random.choice(NAMES), player.token
        await self._until_answered(lambda: self._service.set_name(token, name))

    async def _link(self, player: Player) -> None:
        device, token = f"bench-{self._random.getrandbits(96):024x}", player.token
        await self._until_answered(lambda: self._service.link_device(token, device))
        player.devices.append(device)

    async def _befriend(self, player: Player) -> None:
        other, token = self._random.choice(self._players).player_id, player.token
        step = self._random.choice(
            (
                self._service.request_friendship,
                self._service.accept_friendship,
                self._service.end_friendship,
                self._service.block,
                self._service.unblock,
            )
        )
        await self._until_answered(lambda: step(token, other))

    async def _party(self, player: Player) -> None:
        other, token, service = self._random.choice(self._players), player.token, self._service
        match self._random.randrange(8):
            case 0:
                await self._until_answered(lambda: service.create_party(token, 4))
            case 1 | 2:
                await self._until_answered(lambda: service.invite_to_party(token, other.player_id))
            case 3:
                for invitation in await self._until_answered(lambda: service.party_invitations(token)):
                    party = invitation.party.party_id
                    await self._until_answered(lambda party=party: service.accept_party(token, party))  # type: ignore[misc]
            case 4:
                await self._until_answered(lambda: service.leave_party(token))
            case 5:
                await self._until_answered(lambda: service.promote_in_party(token, other.player_id))
            case 6:
                await self._until_answered(lambda: service.set_ready(token))
            case _:
                await self._until_answered(lambda: service.queue_party(token, MODE))

    async def _look(self, player: Player) -> None:
        token, service = player.token, self._service
        profile = await self._until_answered(lambda: service.profile(token))
        self._log.acknowledged("profile", player=player.player_id, skin=profile.skin)
        await self._until_answered(lambda: service.progress(token))
        await self._until_answered(lambda: service.leaderboard(token))

    async def _export(self, player: Player) -> None:
        token = player.token
        await self._until_answered(lambda: self._service.export_account(token))

    async def _delete(self, player: Player) -> None:
        if self._random.random() < 0.75:
            return
        token = player.token
        try:
            with self._left_out_if_lost(player):
                if self._random.random() < 0.5:
                    await self._until_answered(lambda: self._service.delete_account(token))
                else:
                    await self._until_answered(lambda: self._operator.delete_player(player.player_id, REASON))
        except MetaRefusedError as error:
            if error.kind != "session-erased":  # done before: that answer was lost
                raise
        self._log.acknowledged("delete", player=player.player_id)
        if not player.deleted:
            player.deleted = True
            self._players[self._players.index(player)] = await self._newcomer()

    # --- what operators do --------------------------------------------------------------------------------

    async def _grant(self, player: Player) -> None:
        await self._move_money(player, "grant", self._random.randint(1, 200))

    async def _debit(self, player: Player) -> None:
        await self._move_money(player, "debit", self._random.randint(1, 300))

    async def _move_money(self, player: Player, action: str, amount: int) -> None:
        key, operator = self._key(), self._operator
        call = operator.grant_money if action == "grant" else operator.debit_money
        with self._left_out_if_lost(player):
            await self._once(lambda: call(player.player_id, key, "coins", amount, REASON))
        change = amount if action == "grant" else -amount
        self._log.acknowledged("money", player=player.player_id, amount=change)
        self._log.acknowledged("action", action=action, player=player.player_id)

    async def _give(self, player: Player) -> None:
        await self._move_items(player, "give")

    async def _take(self, player: Player) -> None:
        await self._move_items(player, "take")

    async def _move_items(self, player: Player, action: str) -> None:
        item = self._random.choice((*setting.SKINS, *setting.EMOTES, setting.CRATE, setting.TIER_ITEM))
        if action == "give" and item == setting.TIER_ITEM:
            return  # whoever has it of an operator is given none by the tier, and that is not counted here
        key, operator, pieces = self._key(), self._operator, 1
        call = operator.give_items if action == "give" else operator.take_items
        with self._left_out_if_lost(player):
            await self._once(lambda: call(player.player_id, key, item, REASON, pieces))
        change = pieces if action == "give" else -pieces
        self._log.acknowledged("items", player=player.player_id, item=item, quantity=change)
        self._log.acknowledged("action", action=action, player=player.player_id)

    async def _ban(self, player: Player) -> None:
        operator, who, sent = self._operator, player.player_id, time.monotonic_ns()
        await self._until_answered(lambda: operator.ban(who, REASON))
        self._log.acknowledged("ban", player=who, sent=sent)
        await self._log_in_quietly(player)
        unban, tries = self._key(), 0

        def lift() -> Awaitable[bool]:
            nonlocal tries
            tries += 1
            return operator.lift_ban(who, REASON)

        self._log.sent("unban", player=who, unban=unban)
        await self._until_answered(lift)
        if tries == 1:  # of several, one may still be on its way
            self._log.acknowledged("unban", player=who, unban=unban)

    async def _log_in_quietly(self, player: Player) -> None:
        try:
            await self._log_in(player)
        except MetaRefusedError:
            self.refused += 1

    # --- what game servers do -----------------------------------------------------------------------------

    async def _play(self, _: Player) -> None:
        """Check players out, commit their results and tell of the match, now and then twice."""
        roster = self._random.sample(self._players, MATCH_PLAYERS)
        match = UUID(int=self._random.getrandbits(128), version=4)
        wanted = [player.player_id for player in roster]
        out = await self._until_answered(
            lambda: self._service.check_out(match, "bench-server", "west-europe", LEASE_S, wanted)
        )
        results = [
            PlayerCommit(one.player_id, one.fence, place, self._random.randrange(len(out.checked_out)), 20.0)
            for place, one in enumerate(out.checked_out, start=1)
        ]
        if not results:
            return
        await self._until_answered(lambda: self._service.commit(match, results))
        now_s = time.time()
        self._log.acknowledged(
            "match",
            match=str(match),
            results=[[row.player_id, row.placement, row.kills] for row in results],
            day=int(now_s) // 86_400,
        )
        self._tell(match, results, now_s, now_s)
        if self._random.random() < TOLD_TWICE:  # by another process, to whose clock it was another time
            self._tell(match, results, now_s, now_s + self._random.uniform(0.001, 0.9))

    def _tell(self, match: UUID, results: list[PlayerCommit], formed_s: float, now_s: float) -> None:
        for event in events_of(match, results, formed_s, now_s):
            assert self._world.producer.emit(event), "the producer dropped an event"

    # --- how ----------------------------------------------------------------------------------------------

    @property
    def _service(self) -> MetaClient:
        return self._random.choice(self._world.services)

    @property
    def _operator(self) -> MetaClient:
        return self._random.choice(self._world.operators)

    def _key(self) -> str:
        return f"{self._random.getrandbits(96):024x}"

    async def _once(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call under a key, now and then twice at the same time; both get one answer.

        It was done where either says so: a login or a grant may come between the two.
        """
        if self._random.random() >= AGAIN:
            return await self._until_answered(call)
        answers = await asyncio.gather(
            self._until_answered(call), self._until_answered(call), return_exceptions=True
        )
        refusals = [answer for answer in answers if isinstance(answer, BaseException)]
        done = [answer for answer in answers if not isinstance(answer, BaseException)]
        for refusal in refusals:
            if not isinstance(refusal, MetaRefusedError):
                raise refusal
        if not done:
            raise next((one for one in refusals if isinstance(one, LostAnswerError)), refusals[0])
        if not refusals:
            self._log.acknowledged("again", same=done[0] == done[1])
        return done[0]

    async def _until_answered(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call until it is answered. Raises MetaRefusedError or LostAnswerError."""
        lost = False
        while True:
            try:
                return await call()
            except MetaUnavailableError:
                lost = True
                await asyncio.sleep(RETRY_S)
            except MetaRefusedError as refusal:
                if refusal.status >= 500:
                    self._log.refused("failure", text=str(refusal))
                if lost or refusal.status >= 500:
                    raise LostAnswerError(
                        refusal.status, refusal.kind, "the outcome is not known"
                    ) from refusal
                raise

    async def _learn(self, player: Player, call: Callable[[], Awaitable[T]]) -> T:
        """Log in anew and repeat a call whose outcome is not known, a few times: done before or now, it is
        known. Raises LostAnswerError.
        """
        for _ in range(LEARN_TRIES):
            with contextlib.suppress(MetaRefusedError):
                await self._log_in(player)
                return await self._until_answered(call)
            await asyncio.sleep(RETRY_S)
        raise LostAnswerError(0, "", "again and again")

    @contextlib.contextmanager
    def _left_out_if_lost(self, player: Player) -> Iterator[None]:
        try:
            yield
        except LostAnswerError as error:
            if error.kind != "session-erased":
                self._log.refused("lost", player=player.player_id)
            raise


def events_of(match: UUID, results: list[PlayerCommit], formed_s: float, now_s: float) -> list[Envelope]:
    """The kills and the end of a match that was formed at ``formed_s``, as its server tells them."""
    source = Source("bench-server", "west-europe", match, ids=EventIds.of_match(match, formed_s))
    victims = [row.player_id for row in results]
    found = []
    for row in results:
        for number in range(row.kills):
            victim = victims[(victims.index(row.player_id) + 1 + number) % len(victims)]
            found.append(
                kill(
                    source,
                    now_s=now_s,
                    tick=number,
                    killer_id=row.player_id,
                    victim_id=victim,
                    weapon="pistol",
                    distance_m=10.0,
                    killer_at=(0.0, 0.0),
                    victim_at=(10.0, 0.0),
                )
            )
    found.append(
        match_ended(
            source,
            now_s=now_s,
            tick=1200,
            mode=MODE,
            duration_s=20.0,
            placements=[
                PlayerPlacement(row.player_id, 0, row.placement, row.kills, row.played_s) for row in results
            ],
        )
    )
    return found
