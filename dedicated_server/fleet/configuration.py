"""What the settings say of a fleet, read: policies, counters, start-up delays. Whatever cannot be read is one error that names the setting."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from dedicated_server.fleet import tallies
from dedicated_server.fleet.autoscaling.buffer import Buffer
from dedicated_server.fleet.autoscaling.policy import Autoscaler, PolicyError, parse
from dedicated_server.fleet.gameserver import HealthSpec
from dedicated_server.fleet.plan import PoolPlan
from launchday.settings import Settings

HEALTH_PERIODS = 3  # Agones' default number of heartbeats that may fail
SHARED_MEMORY = Path("/dev/shm")


class ConfigurationError(Exception):
    """Raised when a setting of the fleet cannot be read; the message is one line that names it and says what it may be."""


def plan_of(settings: Settings, start_timeout_s: float) -> PoolPlan:
    """The pool's plan; raises ConfigurationError."""
    return PoolPlan(
        regions=settings.region_names,
        ready_per_region=settings.ready_per_region,
        max_servers=settings.max_servers,
        address=settings.game_host,
        health=HealthSpec(settings.server_health_s / HEALTH_PERIODS, HEALTH_PERIODS),
        start_timeout_s=start_timeout_s,
        nodes=settings.warm_parents,
        claim_s=settings.claim_s,
        longest_match_s=settings.longest_match_s,
        memory_bytes=settings.server_memory_mb << 20,
        startup_delay_s=startup_delays(settings),
        tallies=_tallies(settings.fleet_tallies),
    )


def autoscaler_of(settings: Settings) -> Autoscaler:
    """The policy that every region begins with; raises ConfigurationError."""
    given = settings.fleet_policy.strip()
    if not given:
        return Autoscaler(Buffer(settings.ready_per_region))
    try:
        return parse(given if given.startswith("{") else Path(given).read_text())
    except (OSError, PolicyError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"LAUNCHDAY_FLEET_POLICY: {error}") from error


def startup_delays(settings: Settings) -> dict[str, float]:
    """Seconds by region; raises ConfigurationError."""
    delays = {}
    for part in filter(None, (text.strip() for text in settings.startup_delay_s.split(","))):
        region, _, seconds = part.partition("=")
        try:
            delays[region.strip()] = float(seconds)
        except ValueError:
            delays[region.strip()] = -1.0
        if region.strip() not in settings.region_names or not 0 <= delays[region.strip()] <= 3600:
            raise ConfigurationError(
                f"LAUNCHDAY_STARTUP_DELAY_S: {part!r:.60} is not region=seconds of one of {', '.join(settings.region_names)}"
            )
    return delays


def spectator_folder(settings: Settings) -> Path:
    """Where matches are shown: the folder of the settings, or one of this fleet's own in shared memory, so that no disk is in the way."""
    if settings.spectator_dir:
        return Path(settings.spectator_dir)
    if not os.access(SHARED_MEMORY, os.W_OK):
        return settings.state_dir.absolute() / "spectator"
    own = hashlib.blake2b(f"{settings.state_dir.absolute()}:{settings.fleet_port}".encode(), digest_size=6)
    return SHARED_MEMORY / f"launchday-{os.getuid()}-{own.hexdigest()}"


def _tallies(text: str) -> dict[str, dict[str, Any]]:
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
        counters, lists = found.get("counters", {}), found.get("lists", {})
        if len(tallies.parse_counters(counters)) + len(tallies.parse_lists(lists)) > tallies.MOST_TALLIES:
            raise tallies.TallyError(f"at most {tallies.MOST_TALLIES} counters and lists")
    except (ValueError, AttributeError, TypeError) as error:
        shape = '{"counters": {"rooms": {"count": 0, "capacity": 10}}, "lists": {…}}'
        raise ConfigurationError(f"LAUNCHDAY_FLEET_TALLIES: {error}: write it like {shape}") from error
    return {"counters": counters, "lists": lists}
