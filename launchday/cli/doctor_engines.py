"""What ``launchday doctor`` says of an engine of yours that answers, but does not fit."""

from __future__ import annotations

import asyncio

from launchday.clock import SystemClock
from launchday.resilience.bus import Bus
from launchday.resilience.cache_checks import faults_at
from launchday.resilience.requirements import Fault
from launchday.resilience.store_checks import connections_of, store_faults
from launchday.settings import Settings
from meta_service.store.errors import UNAVAILABLE_ERRORS
from meta_service.store.version import schema_fault


def engine_faults(
    role: str, address: str, rules: str = "", seasons: str = "", settings: Settings | None = None
) -> list[Fault]:
    """Ask an engine whether it fits.

    Args:
        role: "cache": whether it keeps what it accepts; "store": whether its schema is new enough, and its
            catalogue has what the rules of progress give; of others nothing is asked.
        address: as in the setting of that role.
        rules: the setting rules.
        seasons: the setting seasons.
        settings: have the further addresses of a store, and the sizes of pools; None: the defaults.

    Returns:
        What is wrong; empty where nothing is, or where it does not answer any more.
    """
    if role == "store":
        found = asyncio.run(_ask_store(address, settings or Settings()))
        refused = any(fault.refuse for fault in found)
        return found if refused else [*found, *_faults_of_rules(address, rules, seasons)]
    return asyncio.run(_ask(role, address))


def faults_of_bus(bus: Bus, prefix: str) -> list[Fault]:
    """Ask Kafka whether it fits.

    Args:
        bus: where it is, and how to speak to it.
        prefix: first part of the topics' names.

    Returns:
        What is wrong for any of our services; empty where nothing is, or where it does not answer any more.
    """
    from rewards.events import EventsError
    from rewards.events.bus_checks import bus_faults

    try:
        return asyncio.run(bus_faults(bus, prefix))
    except EventsError:
        return []


async def _ask(role: str, address: str) -> list[Fault]:
    from redis.exceptions import RedisError

    if role == "cache":
        try:
            return await faults_at(address)
        except (RedisError, OSError):
            return []
    return []


async def _ask_store(address: str, settings: Settings) -> list[Fault]:
    found: list[Fault] = []
    try:
        found += await store_faults(
            address,
            direct_url=settings.store_direct_url,
            replica_url=settings.store_replica_url,
            connections=connections_of(settings),
            now_s=SystemClock().wall(),
        )
        said = await schema_fault(settings.store_direct_url or address)
    except UNAVAILABLE_ERRORS:
        return found
    return found if said is None else [*found, Fault(True, *_split(said))]


def _faults_of_rules(address: str, rules: str, seasons: str) -> list[Fault]:
    """What keeps rewards from starting: rules that make no sense, or give what there is not."""
    from rewards.consumer.rules_reload import check_gives
    from rewards.errors import RulesError
    from rewards.progression.rules import configured

    try:
        lines = check_gives(address, configured(rules, seasons))
    except RulesError as error:
        lines = str(error).splitlines()
    return [Fault(True, *_split(line)) for line in lines]


def _split(line: str) -> tuple[str, str]:
    text, _, remedy = line.rpartition(": ")
    return text, remedy
