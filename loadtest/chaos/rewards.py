"""Chaos run of rewards: kill -9 while a known set of events flows; every point earned must be there, and no
other.

``launchday chaos rewards`` kills consumer, broker and store thirty times each under 200,000 events. It takes
about ten minutes and prints one JSON object per run. ``tests/loadtest/chaos/test_rewards.py`` runs the same
with one kill each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from launchday import startup
from launchday.settings import Settings
from loadtest.chaos.rewards_run import RewardsRun, rewards_run, until
from loadtest.errors import ChaosError

VICTIMS = ("consumer", "broker", "store")
BROKEN = 50  # records that are no events


async def kill_everything(
    events: int, kills: int, *, victims: Sequence[str] = VICTIMS, broken: int = BROKEN, seed: int = 1
) -> dict[str, Any]:
    """Kill each victim ``kills`` times, in random order at random moments; returns the outcome, for
    :func:`is_right`.
    """
    async with rewards_run(events, broken, seed) as run:
        run.start_member(1)
        turns = list(victims) * kills
        run.rng.shuffle(turns)
        flowing = asyncio.create_task(run.emit_events(3.0 * len(turns)))
        for victim in turns:
            await _progress(run, flowing)
            await asyncio.sleep(run.rng.uniform(0.0, 1.0))
            await run.kill(victim)
            if victim == "consumer":
                run.start_member(1)
        await flowing
        await run.all_applied()
        return await run.outcome()


async def two_members(
    events: int, *, broken: int = 0, engines: bool = False, seed: int = 2
) -> dict[str, Any]:
    """Add a member to the consumer group during the run and kill the first.

    Args:
        events: about how many flow.
        broken: records that are no events.
        engines: whether broker and store are killed, too.
        seed: of every random draw.

    Returns:
        The outcome, for :func:`is_right`.
    """
    async with rewards_run(events, broken, seed) as run:
        run.start_member(1)
        flowing = asyncio.create_task(run.emit_events(12.0))
        await _progress(run, flowing)
        run.start_member(2)
        await until(lambda: _members_with_partitions(run.settings, 2), "two members with partitions each")
        await run.kill("consumer", 1)
        for victim in ("store", "broker") if engines else ():
            await run.kill(victim)
        await flowing
        await run.all_applied()
        return await run.outcome() | {"members": 2}


async def _progress(run: RewardsRun, flowing: asyncio.Task[None]) -> None:
    before = await run.applied()

    async def moved() -> bool:
        return await run.applied() > max(before, 0) or flowing.done()

    try:
        await until(moved, f"progress after {dict(run.killed)}")
    except ChaosError as error:
        raise ChaosError(f"{error}{run.log_tails()}") from None


async def _members_with_partitions(settings: Settings, count: int) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([f"{settings.topic_prefix}.rewards"])
    except KafkaError:
        return False  # the group has no coordinator yet
    finally:
        await admin.close()
    _error, _group, _state, _protocol_type, _protocol, members, *_ = answer.groups[0]
    shares = [ConsumerProtocolMemberAssignment.decode(member[4]) for member in members if member[4]]
    return sum(1 for share in shares if share.assignment) == count


def is_right(outcome: dict[str, Any]) -> bool:
    """Whether nothing was lost, nothing was counted twice, and every broken record is a dead letter."""
    return bool(
        outcome["players_with_wrong_xp"] == 0
        and outcome["xp"] == outcome["xp_earned"]
        and outcome["kills_right"]
        and outcome["players_rated_wrong"] == 0
        and outcome["inbox"] == outcome["events"] + outcome["broken"]
        and outcome["dead_letters"] == outcome["broken"]
        and outcome["letters_right"]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the long form; 0 when everything is right."""
    parser = argparse.ArgumentParser(prog="launchday chaos rewards", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=30, help="of each: consumer, broker, store")
    parser.add_argument("--victims", default=",".join(VICTIMS), help="which of them")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )  # figures alone on standard output
    right = True
    for name in ("kill everything", "two members"):
        started_at = time.monotonic()
        outcome = asyncio.run(
            kill_everything(given.events, given.kills, victims=given.victims.split(","), seed=given.seed)
            if name == "kill everything"
            else two_members(given.events // 4, seed=given.seed + 1)
        )
        right &= is_right(outcome)
        print(
            json.dumps(
                {
                    "chaos": name,
                    "right": is_right(outcome),
                    **outcome,
                    "seconds": round(time.monotonic() - started_at),
                }
            ),
            flush=True,
        )
    return 0 if right else 1


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
