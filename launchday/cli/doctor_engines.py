"""What ``launchday doctor`` says of an engine of yours that answers, but does not fit."""

from __future__ import annotations

import asyncio

from launchday.resilience.cache_checks import cache_faults
from launchday.resilience.requirements import Fault
from launchday.resilience.sockets import redis_client
from meta_service.store.errors import UNAVAILABLE_ERRORS
from meta_service.store.version import schema_fault


def engine_faults(role: str, address: str, rules: str = "", seasons: str = "") -> list[Fault]:
    """Ask an engine whether it fits.

    Args:
        role: "cache": whether it keeps what it accepts; "store": whether its schema is new enough, and its
            catalogue has what the rules of progress give; of others nothing is asked.
        address: as in the setting of that role.
        rules: the setting rules.
        seasons: the setting seasons.

    Returns:
        What is wrong; empty where nothing is, or where it does not answer any more.
    """
    found = asyncio.run(_ask(role, address))
    return found if found or role != "store" else _faults_of_rules(address, rules, seasons)


async def _ask(role: str, address: str) -> list[Fault]:
    from redis.exceptions import RedisError

    if role == "cache":
        try:
            async with redis_client(address, connections=1) as cache:
                return await cache_faults(cache)
        except (RedisError, OSError):
            return []
    if role == "store":
        try:
            said = await schema_fault(address)
        except UNAVAILABLE_ERRORS:
            return []
        if said is not None:
            text, _, remedy = said.rpartition(": ")
            return [Fault(True, text, remedy)]
    return []


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
