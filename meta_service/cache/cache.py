"""The regional cache: every accepted change is one script, and every question one round trip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from redis.asyncio import Redis

from launchday.resilience import sockets
from launchday.telemetry import request_id
from meta_service.cache import scripts
from meta_service.cache.kept_ban import KeptBan
from meta_service.cache.keys import ONE, Keys, Partition
from meta_service.messages.leases import MetaCounters

POOL_CONNECTIONS = 32  # one Valkey executes one command at a time; more connections only queue there
RESPONSE_TIMEOUT_S = 2.0
FOR_LOAD_S = 60  # what is published of a player who is just being loaded is kept for so long
MAX_WRITEBEHIND_ENTRIES = 1_000_000  # entries, see the setting of that name
TOKENS_S = 1500.0  # how long a session's last access token may live after it was given, by default
PLAYER_TTL_S = 7 * 24 * 3600.0  # see the setting player_cache_ttl_s


@dataclass(frozen=True, slots=True)
class PlayerRecord:
    """What the cache holds of a player.

    Attributes:
        device: the account's device hash, hexadecimal; empty while only progress is known.
        loaded: the store has been asked since the cache began its present life, so what it knew is in here.
        pending: the newest loadout is accepted but not in the store yet.
        emotes, settings: of the loadout, as JSON texts.
        home: the region of the last login; empty where there is but one.
        session_seen: the newest generation of the session of which a token was used.
        ratings: mode to (mu, sigma).
        balances: currency to the newest balance that was shown; for display, never for deciding.
        ban: the newest, which may be over; None: there was none.
    """

    player_id: int
    device: str
    display_name: str
    skin: str
    version: int
    level: int
    xp: int
    loaded: bool
    pending: bool
    ratings: dict[str, tuple[float, float]] = field(default_factory=dict)
    balances: dict[str, int] = field(default_factory=dict)
    session_id: str = ""
    session_state: str = ""
    session_seen: int = 0
    emotes: str = "[]"
    settings: str = "{}"
    home_region: str = ""
    ban: KeptBan | None = None


@dataclass(frozen=True, slots=True)
class LoadoutFields:
    """The parts of a loadout to change, each empty to leave it; ``emotes`` and ``settings`` are JSON."""

    skin: str = ""
    emotes: str = ""
    settings: str = ""


@dataclass(frozen=True, slots=True)
class LoadoutResult:
    """An accepted loadout as a whole, or a refusal.

    Attributes:
        version: of the accepted loadout; 0: it was refused, or the player is not in the cache.
        item: what is refused as ``not-owned``.
        refusal: how the session ended, or ``banned``, or ``full``: too many changes wait for the store, or
            ``stale``: the store may know better. Empty otherwise.
        fields: the whole loadout after the change.
        session_seen: the newest generation of the session of which a token was used.
    """

    version: int
    refusal: str = ""
    fields: LoadoutFields = field(default_factory=LoadoutFields)
    session_seen: int = 0
    item: str = ""


@dataclass(frozen=True, slots=True)
class LiveSession:
    """What the cache knows of a player's session.

    Attributes:
        session_id, state: empty where it knows of none.
        seen: the newest generation of which a token was used.
        loaded: whether the store was asked in this epoch.
        ban: the player's newest, which may be over; None: there was none.
    """

    session_id: str
    state: str
    seen: int
    loaded: bool
    ban: KeptBan | None = None


def connect(url: str, *, answer_s: float = RESPONSE_TIMEOUT_S) -> Redis:
    """Open a client for the cache at ``url``; connections are made when needed. Answers are text."""
    return sockets.redis_client(url, connections=POOL_CONNECTIONS, answer_s=answer_s, decode_responses=True)


class Cache:
    """The meta-state in Valkey. Times are Unix seconds given by the caller. Errors are redis-py's.

    Args:
        region: whose cache it is, where several share a store; empty: the only one.
        writebehind_limit: changes that may wait for the store before loadouts are refused. Each partition has
            its share of them.
        player_ttl_s: how long a player is kept of whom the store has everything, from their last change on.
        tokens_s: how long after a session's newest exchange one of its access tokens may still be good.
        keys: the names of its keys; with another number of partitions nothing would be found.

    Attributes:
        epochs: the number of each partition's present life, see `meta_service.cache.epoch`; 0: not known yet.
        wearables_mark: names what can be worn now, see `meta_service.domain.wardrobe`; empty: not known.
    """

    def __init__(
        self,
        redis: Redis,
        region: str = "",
        writebehind_limit: int = MAX_WRITEBEHIND_ENTRIES,
        player_ttl_s: float = PLAYER_TTL_S,
        tokens_s: float = TOKENS_S,
        keys: Keys = ONE,
    ) -> None:
        self.redis = redis
        self.region = region
        self.keys = keys
        self.epochs = [0] * len(keys)
        self.wearables_mark = ""
        self._writebehind_limit = -(-writebehind_limit // len(keys))
        self.player_ttl_s = int(player_ttl_s)
        self._tokens_ms = int(tokens_s * 1000)
        self._load = scripts.PlayerScript(redis, keys, "load", _keys_of_load)
        self._items = scripts.PlayerScript(redis, keys, "items", own=scripts.lock_and_hash)
        self._counters = scripts.ManyScript(redis, "counters")
        self._scripts = {
            name: redis.register_script(scripts.source(name))
            for name in (
                "login",
                "profile",
                "loadout",
                "wallet",
                "session",
                "kick",
            )
        }

    async def open_account(
        self, player_id: int, device: bytes, display_name: str, skin: str, now: float, *, loaded: bool
    ) -> tuple[bool, str]:
        """Create the account unless it exists; return whether it was created, and its device hash."""
        created, owner = await self._run(
            "login",
            self._changed_keys(player_id),
            [
                *(player_id, device.hex(), display_name, skin, _ms(now)),
                *(self.epoch_of(player_id) if loaded else "", request_id(), self.wearables_mark),
            ],
        )
        return bool(created), owner

    async def load(self, rows: Sequence[str], player_ids: Sequence[int], now: float) -> int:
        """Merge rows from the store into the cache; return how many of the players are known now.

        Args:
            rows: JSON texts as ``Store.load`` returns them, one a player.
            player_ids: the players, in the same order.
            now: Unix seconds.
        """
        known = await self._load.run(
            (id_, (id_, _ms(now), row, self.epoch_of(id_), self.player_ttl_s, self._tokens_ms))
            for id_, row in zip(player_ids, rows, strict=True)
        )
        return sum(known)

    @property
    def epoch(self) -> int:
        """The number of the home partition's present life; 0: not known yet."""
        return self.epochs[0]

    def epoch_of(self, player_id: int) -> int:
        """The number of the present life of a player's partition; 0: not known yet."""
        return self.epochs[self.keys.of(player_id).number]

    def is_fresh(self, player_id: int, loaded: str | None) -> bool:
        """Whether a player's hash with this field ``loaded`` was filled from the store in this epoch."""
        return loaded is not None and int(loaded) >= self.epoch_of(player_id)

    async def kick(self, player_id: int, why: str, now: float) -> tuple[str, str] | None:
        """Tell the server that holds a player to part from them; return match and server, None without one.

        Args:
            player_id: whom.
            why: in a word.
            now: Unix seconds.
        """
        partition = self.keys.of(player_id)
        found = await self._run(
            "kick", [partition.kicks, partition.player(player_id)], [player_id, _ms(now), why]
        )
        return (found[0], found[1]) if found else None

    async def player(self, player_id: int) -> PlayerRecord | None:
        """Read one player, or None when the cache has no account for the id."""
        partition = self.keys.of(player_id)
        flat, pending = await self._run("profile", [partition.player(player_id), partition.stream], [])
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if "skin" not in fields:
            return None
        return PlayerRecord(
            player_id=player_id,
            device=fields.get("device", ""),
            display_name=fields["display_name"],
            skin=fields["skin"],
            version=int(fields["loadout_version"]),
            level=int(fields["level"]),
            xp=int(fields["xp"]),
            loaded=self.is_fresh(player_id, fields.get("loaded")),
            pending=bool(pending),
            ratings={
                name.removeprefix("rating:"): parse_rating(value)
                for name, value in fields.items()
                if name.startswith("rating:")
            },
            balances={
                name.removeprefix("wallet:"): int(value.partition(",")[0])
                for name, value in fields.items()
                if name.startswith("wallet:")
            },
            session_id=fields.get("session_id", ""),
            session_state=fields.get("session_state", ""),
            session_seen=int(fields.get("session_seen", "0")),
            emotes=fields.get("emotes", "[]"),
            settings=fields.get("settings", "{}"),
            home_region=fields.get("home", ""),
            ban=KeptBan.read(fields.get("ban")),
        )

    async def set_loadout(
        self,
        player_id: int,
        change: LoadoutFields,
        now: float,
        session_id: str = "",
        to_be_owned: Sequence[str] = (),
        *,
        final: bool = False,
    ) -> LoadoutResult:
        """Accept a change of a loadout in one script. Version 0: refused, or not in the cache.

        Args:
            player_id: whose.
            change: the parts to change.
            now: Unix seconds.
            session_id: which has to be the live one; empty: any.
            to_be_owned: items that the player must own, or it is refused as ``not-owned``.
            final: decide by what the cache has: the store was asked, or does not answer.
        """
        version, refusal, *chosen = await self._run(
            "loadout",
            self._changed_keys(player_id),
            [
                player_id,
                _ms(now),
                "" if final else self.epoch_of(player_id),
                session_id,
                self._writebehind_limit,
                self.region,
                request_id(),
                change.skin,
                change.emotes,
                change.settings,
                ",".join(to_be_owned),
                self.wearables_mark,
            ],
        )
        if refusal == "not-owned":
            return LoadoutResult(0, refusal, item=chosen[0])
        return LoadoutResult(
            int(version), refusal, LoadoutFields(*chosen[:3]), int(chosen[3]) if chosen else 0
        )

    async def session(
        self,
        what: str,
        player_id: int,
        session_id: str,
        now: float,
        more: Sequence[int] = (),
        *,
        final: bool = False,
    ) -> tuple[str, int]:
        """Open, refresh, note the use of or revoke a session, see ``session.lua``; return the outcome and the
        generation.

        ``final``: decide by what the cache has: the store was asked, or does not answer.
        """
        epoch = "" if final else self.epoch_of(player_id)
        partition = self.keys.of(player_id)
        outcome, generation = await self._run(
            "session",
            [*self._changed_keys(player_id), partition.session_ends, partition.revocations],
            [
                *(what, player_id, session_id, _ms(now), epoch, self.region, request_id()),
                *(self._tokens_ms, *more),
            ],
        )
        return outcome, int(generation)

    async def live_session(self, player_id: int) -> LiveSession:
        """What is known of the player's session."""
        session, state, seen, loaded, ban = await cast(
            Any,
            self.redis.hmget(
                self.keys.player(player_id), ["session_id", "session_state", "session_seen", "loaded", "ban"]
            ),
        )
        return LiveSession(
            session or "", state or "", int(seen or 0), self.is_fresh(player_id, loaded), KeptBan.read(ban)
        )

    async def ban(self, player_id: int) -> KeptBan | None:
        """The player's newest ban, which may be over; None where the cache knows of none."""
        return KeptBan.read(await cast(Any, self.redis.hget(self.keys.player(player_id), "ban")))

    async def text(self, key: str) -> str | None:
        """The text under a key; None without one."""
        return cast("str | None", await self.redis.get(key))

    async def cache_credential(self, name: str, player_id: int, password_hash: str) -> None:
        """Keep a name's password hash for logins while the store does not answer."""
        items: list[Any] = ["player_id", player_id, "password_hash", password_hash]
        key = self.keys.credential(name)
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.hset(key, items=items)
        pipeline.expire(key, self.player_ttl_s)
        await pipeline.execute()

    async def credential(self, name: str) -> tuple[int, str] | None:
        """The player and the password hash of a name, where they were seen before."""
        kept = await cast(Any, self.redis.hgetall(self.keys.credential(name)))
        return (int(kept["player_id"]), kept["password_hash"]) if kept else None

    async def count_within(self, key: str, for_s: int) -> int:
        """Count up a key that disappears ``for_s`` seconds after its first count."""
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.set(key, 0, ex=for_s, nx=True)
        pipeline.incr(key)
        _, count = await pipeline.execute()
        return int(count)

    async def publish_balance(self, player_id: int, currency: str, balance: int, version: int) -> None:
        """Show a wallet's balance, unless a newer one is shown already."""
        await self._run(
            "wallet",
            [self.keys.fill_lock(player_id), self.keys.player(player_id)],
            [currency, balance, version, FOR_LOAD_S],
        )

    async def publish_items(self, player_id: int, rows: Sequence[tuple[str, int, int]]) -> bool:
        """Show what a player owns, unless something newer is shown already.

        Args:
            player_id: whose.
            rows: (item, quantity, version) as the store has them.

        Returns whether something was taken that may be worn: have it looked at.
        """
        shown = ";".join(f"{item},{quantity},{version}" for item, quantity, version in rows)
        (taken,) = await self._items.run([(player_id, (shown,))], (FOR_LOAD_S,))
        return bool(taken)

    async def counters(self, now: float) -> MetaCounters:
        """The durable counters, with the leases that are open and the changes that wait for the store.

        They are sums over the partitions, of which each answers at a moment of its own. A lease is counted in
        its player's partition alone, and each partition balances at every moment, so the sums do, too. But
        what is done meanwhile may be in one number and not in another: that two matches with the same number
        of players are both checked out, or that the depth and what was written add up to what was accepted,
        holds when nothing is under way.
        """
        answers = await self._counters.run_each(
            ((each.counters, each.leases, each.stream), ()) for each in self.keys.partitions
        )
        count: Counter[str] = Counter()
        for flat, leases, depth, _ in answers:
            count.update({name: int(value) for name, value in zip(flat[::2], flat[1::2], strict=True)})
            count.update(open=leases, depth=depth)
        home = dict(zip(answers[0][0][::2], answers[0][0][1::2], strict=True))
        waiting_ms = [int(oldest.partition("-")[0]) for *_, oldest in answers if oldest]
        return MetaCounters(
            checkouts=count["checkouts"],
            commits=count["commits"],
            expired=count["expired"],
            closed=count["closed"],
            open=count["open"],
            writebehind_depth=count["depth"],
            writebehind_written=count["writebehind_written"],
            writebehind_refused=count["writebehind_refused"],
            writebehind_rejected=count["writebehind_rejected"],
            writebehind_age_ms=max(_ms(now) - min(waiting_ms, default=_ms(now)), 0),
            writebehind_lag_ms=int(home.get("writebehind_lag_ms", 0)),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self.redis.aclose()

    def _changed_keys(self, player_id: int) -> list[str]:
        """What a change of a player is noted in: the keys with which most scripts of one player begin."""
        partition = self.keys.of(player_id)
        return [partition.stream, partition.unsettled, partition.player(player_id)]

    async def _run(self, name: str, names: list[str], arguments: list[Any]) -> Any:
        return await cast(Any, self._scripts[name](keys=names, args=arguments))


def _keys_of_load(partition: Partition) -> tuple[str, ...]:
    return (
        partition.counters,
        partition.leases,
        partition.session_ends,
        partition.revocations,
        partition.kicks,
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def parse_rating(text: str) -> tuple[float, float]:
    """The (mu, sigma) that a rating's field holds."""
    mu, _, sigma = text.partition(",")
    return float(mu), float(sigma)
