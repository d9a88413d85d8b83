"""What players may wear: items of the catalogue that are free, or that they own.

A loadout is checked in the one round trip that accepts it, against what the cache knows the player to own,
so also while the store is away: then what was seen last counts. What is taken from a player is taken off at
once where the cache has the player, and at the next check-out at the latest. A check-out does not look
again at what was looked at: the player's hash keeps for which loadout, under which mark of the catalogue,
all was found well, and only where that differs another script looks.

The catalogue is the store's. Each process reads it at start and looks at it every few seconds, at SIGHUP,
and when an operator asks; it is checked as a whole, and one that makes no sense changes nothing. A process
that starts while the store is away goes by what another one left in the cache, or by the shipped one, and
then takes nothing off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.resilience.uncut import uncut
from launchday.telemetry import request_id
from meta_service.cache import keys, packed
from meta_service.cache.cache import Cache, LoadoutFields
from meta_service.cache.keys import Partition
from meta_service.cache.scripts import PlayerScript
from meta_service.errors import LoadoutError, StoreUnavailableError
from meta_service.store import catalogue
from meta_service.store.catalogue import EMOTE, KINDS, SKIN, Item
from meta_service.store.load_players import DEFAULT_SKIN
from meta_service.store.store import Store

LOOK_S = 5.0  # see the setting catalogue_look_s
KEPT_S = 30 * 24 * 3600  # in the cache, after its last reading; it is put back where it was lost
FREE = "free"

log = structlog.get_logger()


@dataclass(frozen=True)
class Wearables:
    """What can be worn, and by whom.

    Attributes:
        kinds: of every item of the catalogue.
        free: what everybody may wear.
        mark: names this state of the catalogue, the same in every process; empty: it is not the store's.
    """

    kinds: Mapping[str, str]
    free: frozenset[str]
    mark: str = ""

    @classmethod
    def of(cls, items: Iterable[Item]) -> Self:
        """The store's catalogue."""
        found = sorted(items, key=lambda item: item.item_id)
        kinds = {item.item_id: item.kind for item in found}
        free = frozenset(item.item_id for item in found if item.free)
        told = json.dumps([[item_id, kind, item_id in free] for item_id, kind in kinds.items()])
        return cls(kinds, free, hashlib.sha256(told.encode()).hexdigest()[:16])

    @classmethod
    def shipped(cls) -> Self:
        """The shipped catalogue, for want of the store's."""
        found = cls.of(catalogue.read())
        return cls(found.kinds, found.free)

    @classmethod
    def kept(cls, mark: str, fields: Mapping[str, str]) -> Self:
        """What another process left in the cache; its words are those of ``fields``."""
        words = {item: value.partition(",") for item, value in fields.items()}
        return cls(
            {item: kind for item, (kind, _, _) in words.items()},
            frozenset(item for item, (_, _, free) in words.items() if free == FREE),
            mark,
        )

    @property
    def fields(self) -> dict[str, str]:
        """Item → its kind, and whether it is free, as the cache keeps it."""
        return {item: f"{kind},{FREE}" if item in self.free else kind for item, kind in self.kinds.items()}

    def to_be_owned(self, change: LoadoutFields) -> list[str]:
        """The items of a loadout that their player must own. Raises LoadoutError for what cannot be worn."""
        wanted = [(change.skin, SKIN)] if change.skin else []
        wanted += [(emote, EMOTE) for emote in json.loads(change.emotes or "[]")]
        for item, kind in wanted:
            found = self.kinds.get(item)
            if found is None:
                raise LoadoutError(422, "unknown-item", f"there is no item {item}")
            if found != kind:
                raise LoadoutError(422, "wrong-kind", f"{item} is no {kind}: it is of the kind {found}")
        return [item for item, _ in wanted if item not in self.free]


class Wardrobe:
    """What can be worn now, as the store's catalogue has it.

    Args:
        store: has the catalogue.
        cache: whose ``wearables_mark`` it keeps right, and which keeps the catalogue for others.
        clock: times the looks.
        kinds: of items that there may be, see the setting ``item_kinds``.
        look_s: seconds between two looks, see the setting ``catalogue_look_s``.
    """

    def __init__(
        self, store: Store, cache: Cache, clock: Clock, kinds: Sequence[str] = KINDS, look_s: float = LOOK_S
    ) -> None:
        self.wearables = Wearables.shipped()
        self._store = store
        self._cache = cache
        self._clock = clock
        self._kinds = tuple(kinds)
        self._look_s = look_s
        self._refused = ""
        self._worn = PlayerScript(cache.redis, cache.keys, "worn", self._keys_of_worn)

    async def begin(self) -> None:
        """Go by the store's catalogue, or by what the cache keeps of it, or by the shipped one."""
        try:
            await uncut(self.read())
            return
        except (StoreUnavailableError, catalogue.CatalogueError) as error:
            log.warning("the store's catalogue is not known yet", reason=str(error))
        home = self._cache.keys.home
        try:
            mark = await self._cache.text(keys.WEARABLES)
            fields = await cast(Any, self._cache.redis.hgetall(home.wearables(mark))) if mark else {}
        except (RedisError, OSError) as error:
            log.warning("the catalogue is the shipped one", reason=repr(error))
        else:
            if mark and fields:
                self._put_in_force(Wearables.kept(mark, fields))

    async def run(self) -> None:
        """Look again and again whether the store has another catalogue, for ever; cancel it to stop."""
        while True:
            await self._clock.sleep(self._look_s)
            try:
                await uncut(self.read())
            except (StoreUnavailableError, RedisError, OSError) as error:
                log.debug("the catalogue is not read again", reason=repr(error))
            except catalogue.CatalogueError as error:
                if str(error) != self._refused:  # once, not every few seconds
                    log.error(
                        "the store's catalogue makes no sense: the old one stays", mistakes=error.mistakes
                    )
                self._refused = str(error)
            except Exception:  # one failed look must not end the others
                log.exception("the catalogue is not read again")

    async def read(self) -> None:
        """Read the store's catalogue, check it, and put it in force.

        Raises CatalogueError, with every mistake, or StoreUnavailableError; then what was in force stays.
        """
        rows = await self._store.read(catalogue.IN_STORE)
        found = catalogue.parse_stored(rows[0]["items"], rows[0]["currencies"])
        catalogue.check(found, self._kinds)
        self._refused = ""
        wearables = Wearables.of(found.items)
        if wearables.mark == self.wearables.mark:
            return
        try:
            await self._keep(wearables)
        except (RedisError, OSError) as error:  # a check-out that misses it puts it there
            log.warning("the catalogue is not in the cache", reason=repr(error))
        self._put_in_force(wearables)
        log.info("catalogue", items=len(wearables.kinds), free=len(wearables.free), mark=wearables.mark)

    async def look_at(self, player_ids: Sequence[int], now: float) -> dict[int, str]:
        """Take off what these players may not wear; return the skin of each who is in the cache.

        Raises redis-py's errors.
        """
        if not self.wearables.mark or not player_ids:
            return {}
        found = await self._look(player_ids, now)
        missing = [id_ for id_ in player_ids if found[id_] is None]
        if missing:  # players who are not there, or what can be worn, which was lost with the cache
            await self._keep(self.wearables)
            found |= await self._look(missing, now)
        return {id_: skin for id_, skin in found.items() if skin is not None}

    async def _look(self, player_ids: Sequence[int], now: float) -> dict[int, str | None]:
        mark = self.wearables.mark
        shared = (int(now * 1000), self._cache.region, request_id(), mark, DEFAULT_SKIN)
        answers = await self._worn.run(((id_, (id_,)) for id_ in player_ids), shared)
        return dict(zip(player_ids, answers, strict=True))

    async def _keep(self, wearables: Wearables) -> None:
        pairs = [text for pair in wearables.fields.items() for text in pair]
        commands = []
        for each in self._cache.keys.partitions:
            key = each.wearables(wearables.mark)
            commands.append(packed.command(key, "HSET", key, *pairs))
            commands.append(packed.command(key, "EXPIRE", key, KEPT_S))
        commands.append(packed.command(keys.WEARABLES, "SET", keys.WEARABLES, wearables.mark))
        await packed.ask(self._cache.redis, commands)

    def _keys_of_worn(self, partition: Partition) -> tuple[str, ...]:
        return partition.stream, partition.unsettled, partition.wearables(self.wearables.mark)

    def _put_in_force(self, wearables: Wearables) -> None:
        self.wearables = wearables
        self._cache.wearables_mark = wearables.mark
