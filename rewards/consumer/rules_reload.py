"""The rules that rewards goes by: read again while it runs, told to others, and what they owe players given.

Rules are checked whole before they take the place of those in force: the files, and that the catalogue has
what they give. Then they are published in the store, and the next batch goes by them. A tier that was added
below what players have reached is given to them by a catch-up, which also runs at each start: an older
release that ran beside this one has climbed without giving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from launchday.clock import Clock
from launchday.resilience.reloading import ReloadRefusedError
from launchday.resilience.retry import Backoff
from rewards.consumer import gives, statements
from rewards.consumer.gives import Given
from rewards.consumer.store import Store
from rewards.consumer.store_connection import ConnectionPool
from rewards.errors import RulesError, StoreUnavailableError
from rewards.progression.rules import Rules

FIRST_RETRY_S, MAX_RETRY_S = 0.5, 8.0
TO_DO = {
    "item": "which is not in the catalogue: put it there, with on_sale: false where it is only given",
    "currency": "which is no currency of the catalogue: put it there",
}

log = structlog.get_logger()


async def unknown_things(connections: ConnectionPool, rules: Rules) -> list[str]:
    """Return a line for each item and currency that the rules give and the store does not know.

    Raises StoreUnavailableError.
    """
    places = rules.given_at
    items, currencies = (
        sorted(name for kind, name in places if kind == wanted) for wanted in ("item", "currency")
    )
    async with connections.acquire() as connection:
        rows = await connection.fetch(statements.UNKNOWN_THINGS, items, currencies)
    return [
        f"{place} gives {name}, {TO_DO[kind]}"
        for (kind, name), place in places.items()
        if name in {row["thing"] for row in rows if row["kind"] == kind}
    ]


def check_gives(store_url: str, rules: Rules) -> list[str]:
    """Return `unknown_things`, for a process that is to start; none where the store does not answer yet."""

    async def ask() -> list[str]:
        connections = ConnectionPool(store_url)
        try:
            return await unknown_things(connections, rules)
        finally:
            await connections.close()

    try:
        return asyncio.run(ask())
    except StoreUnavailableError as away:
        log.warning("rewards_gives_not_checked", reason=str(away))
        return []


class RulesFollower:
    """Puts rules into force.

    Args:
        store: goes by them.
        read: reads the rules that the settings name; raises RulesError.
        clock: dates what is given and published, and waits between attempts.
        on_given: is told what players have of what a catch-up gave.
    """

    def __init__(
        self, store: Store, read: Callable[[], Rules], clock: Clock, on_given: Callable[[Given], object]
    ) -> None:
        self._store = store
        self._read = read
        self._clock = clock
        self._on_given = on_given
        self._to_do = asyncio.Event()
        self._to_do.set()

    async def reload(self) -> None:
        """Read the rules again and put them in force.

        Raises ReloadRefusedError with every mistake in them; StoreUnavailableError. Then the old ones stay.
        """
        try:
            rules = await self._clock.run_in_thread(self._read)
        except RulesError as error:
            raise ReloadRefusedError(str(error).splitlines()) from error
        if unknown := await unknown_things(self._store.connections, rules):
            raise ReloadRefusedError(unknown)
        await self._store.publish_rules(rules, self._clock.wall())
        self._store.go_by(rules)
        self._to_do.set()

    async def run(self) -> None:
        """Publish what is in force and give what it owes, at the start and after each reload.

        Cancel it to stop. An outage of the store only delays it.
        """
        pauses = Backoff(self._clock, FIRST_RETRY_S, MAX_RETRY_S)
        while True:
            await self._to_do.wait()
            self._to_do.clear()
            try:
                await self.catch_up()
                pauses.reset()
            except StoreUnavailableError as error:
                log.warning("rewards_rules_delayed", reason=str(error))
                self._to_do.set()
                await self._clock.sleep(pauses.next_s())

    async def catch_up(self) -> None:
        """Publish the rules in force, and give players what tiers that they have reached still owe them.

        Raises StoreUnavailableError; what was given by then stays given, and is not given again.
        """
        rules = self._store.rules
        await self._store.publish_rules(rules, self._clock.wall())
        for season in rules.seasons:
            last: int | None = 0
            changed = 0
            while last is not None:
                last, given = await gives.give_page(self._store.connections, season, last, self._clock.wall())
                changed += len(given.balances) + len(given.items)
                self._on_given(given)
                await asyncio.sleep(0)  # the consumer lives in the same loop
            if changed:
                log.info("rewards_caught_up", season=season.name, given=changed)
