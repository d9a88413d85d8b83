"""The fleet's settings, parsed: policies, counters, start-up delays.

A setting that cannot be parsed raises one error that names it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import structlog

from dedicated_server.cards import cards_in_force
from dedicated_server.errors import DedicatedServerError
from dedicated_server.fleet.autoscaling.policies import Buffer
from dedicated_server.fleet.autoscaling.policy import AutoscalerSpec, Forecast, PolicyError, parse_policy
from dedicated_server.fleet.autoscaling.sizing import Sizing
from dedicated_server.fleet.pool import counters_and_lists
from dedicated_server.fleet.pool.config import HealthSpec, PoolConfig
from dedicated_server.fleet.pool.ports import servers_that_fit
from dedicated_server.native.socket_options import granted_buffers
from dedicated_server.protocol.server_addresses import ServerAddresses
from launchday import game_addresses, startup
from launchday.settings import Settings, env_name

OWN_SERVER = "dedicated_server.server"
COMMAND_SERVER = "dedicated_server.fleet.warm.command_server"
FORECAST = "forecast"  # the setting that names our own policy
TYPICAL_FORK_S = 0.1  # from a fork to Ready, on a machine with something else to do
MAX_DELAY_S = 86_400.0
MAX_MISSED_HEARTBEATS = 3  # Agones' default failure threshold
SHARED_MEMORY = Path("/dev/shm")

log = structlog.get_logger()


class ConfigurationError(DedicatedServerError):
    """Raised when a setting of the fleet cannot be parsed.

    The message is one line that names the setting and says what it may be; the fleet does not start.
    """


def server_module(settings: Settings) -> str:
    """Return the module that warm parents run as game servers.

    Raises ConfigurationError where the command of a server of one's own is none, or cannot be found.
    """
    if not settings.game_server_command:
        return OWN_SERVER
    try:
        words = shlex.split(settings.game_server_command)
    except ValueError as error:
        raise ConfigurationError(
            f"{env_name('game_server_command')}: {error}: quote it as in a shell"
        ) from error
    if not words or shutil.which(words[0]) is None:
        found = words[0] if words else settings.game_server_command
        raise ConfigurationError(
            f"{env_name('game_server_command')}: {found!r} is no program that can be run: give its whole path"
        )
    return COMMAND_SERVER


def pool_config(settings: Settings, start_timeout_s: float) -> PoolConfig:
    """Return what the pool is configured with; raises ConfigurationError."""
    return PoolConfig(
        regions=settings.region_names,
        ready_per_region=max(settings.ready_by_region.values(), default=0),
        max_servers=_max_servers(settings),
        ready_by_region=settings.ready_by_region,
        max_by_region=settings.max_servers_by_region,
        address=settings.game_bind_in(game_addresses.ALL_REGIONS),
        addresses_by_region={name: addresses_of(settings, name) for name in settings.region_names},
        health=HealthSpec(settings.server_health_s / MAX_MISSED_HEARTBEATS, MAX_MISSED_HEARTBEATS),
        start_timeout_s=start_timeout_s,
        warm_parents=settings.warm_parents,
        claim_s=settings.claim_s,
        starts_least=settings.fleet_starts_min,
        starts_most=settings.fleet_starts_max,
        max_match_s=settings.max_match_s,
        max_memory_bytes=settings.server_memory_mb << 20,
        startup_delay_s=startup_delays(settings),
        counters_and_lists=_counters_and_lists(settings.fleet_counters_and_lists),
    )


def addresses_of(settings: Settings, region: str) -> ServerAddresses:
    """Return where the game servers of a region are reached.

    Raises ConfigurationError where they could not bind, and where what they bind is no address that a player
    could reach and the settings say no other.
    """
    bound, public = settings.game_bind_in(region), settings.game_public_hosts_in(region)
    if (error := game_addresses.bind_error(bound)) is not None:
        raise ConfigurationError(
            f"{env_name('game_bind')}: {bound} is no address of this machine ({error.strerror}): set it to "
            f"one that it has, or to ::, and {env_name('game_public_host')} to what players are to be given"
        )
    if any(map(game_addresses.is_every_address, public)):
        raise ConfigurationError(
            f"{env_name('game_bind')}: {bound} is no address that a player could reach: set "
            f"{env_name('game_public_host')} to the one by which players reach this machine"
        )
    internal = game_addresses.own_address(bound)
    return ServerAddresses(public, "" if internal in public else internal)


def _max_servers(settings: Settings) -> int:
    descriptors = startup.descriptors().soft
    fit = servers_that_fit(settings.max_servers_in_all, descriptors)
    if fit < settings.max_servers_in_all:
        log.warning(
            "fewer game servers than LAUNCHDAY_MAX_SERVERS fit into the descriptors: raise ulimit -Hn",
            max_servers=fit,
            descriptors=descriptors,
        )
    return fit


def warn_of_small_buffers(settings: Settings) -> None:
    """Say at the start where the sockets of game servers are too small for the largest match in force."""
    try:
        shortage = granted_buffers().shortage(largest_match(settings))
    except OSError:  # no sockets at all is told by whoever needs one first
        return
    if shortage:
        log.warning("players of a large match will be left out in turns", reason=shortage)


def largest_match(settings: Settings) -> int:
    """Return how many players the largest match of the modes in force has. Raises CardError."""
    return max(
        settings.match_players if card.sized_by_settings else card.players_full
        for card in cards_in_force(settings.modes).values()
    )


def autoscaler_specs(settings: Settings) -> dict[str, AutoscalerSpec]:
    """Return the policy that each region begins with, by region; raises ConfigurationError."""
    given = settings.fleet_policy.strip()
    if not given:
        return {name: AutoscalerSpec(Buffer(ready)) for name, ready in settings.ready_by_region.items()}
    if given == FORECAST:
        return dict.fromkeys(settings.region_names, AutoscalerSpec(Forecast()))
    try:
        spec = parse_policy(given if given.startswith("{") else Path(given).read_text())
    except (OSError, PolicyError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"LAUNCHDAY_FLEET_POLICY: {error}") from error
    return dict.fromkeys(settings.region_names, spec)


def sizing_of(settings: Settings, config: PoolConfig, region: str) -> Sizing:
    """Return the sizing of a region by the demand.

    Where it is the configured policy, it keeps the configured buffer at least.
    """
    forecasts = settings.fleet_policy.strip() == FORECAST
    return Sizing(
        startup_s=config.startup_delay_s.get(region, 0.0) + TYPICAL_FORK_S,
        min_idle=max(1, config.ready_in(region)) if forecasts else 1,
        max_replicas=config.max_in(region),
    )


def startup_delays(settings: Settings) -> dict[str, float]:
    """Return the simulated start-up delays by region, in seconds; raises ConfigurationError."""
    delays = {}
    for part in filter(None, (text.strip() for text in settings.startup_delay_s.split(","))):
        region, _, seconds = part.partition("=")
        try:
            delays[region.strip()] = float(seconds)
        except ValueError:
            delays[region.strip()] = -1.0
        if region.strip() not in settings.region_names or not 0 <= delays[region.strip()] <= MAX_DELAY_S:
            raise ConfigurationError(
                f"LAUNCHDAY_STARTUP_DELAY_S: {part!r:.60} is not region=seconds of one of "
                f"{', '.join(settings.region_names)}"
            )
    return delays


def spectator_folder(settings: Settings) -> tuple[Path, str]:
    """Return the folder in which fleets show their matches, and the name of this fleet's own one in it.

    It is that of the settings, or shared memory, so that nothing is written to a disk.
    """
    state = f"{settings.state_dir.absolute()}:{settings.fleet_port}"
    own = hashlib.blake2b(os.fsencode(state), digest_size=6)
    name = f"launchday-{os.getuid()}-{own.hexdigest()}"
    if settings.spectator_dir:
        return Path(settings.spectator_dir), name
    if not os.access(SHARED_MEMORY, os.W_OK):
        return settings.state_dir.absolute() / "spectator", name
    return SHARED_MEMORY, name


def _counters_and_lists(text: str) -> dict[str, dict[str, Any]]:
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
        counters, lists = found.get("counters", {}), found.get("lists", {})
        if (
            len(counters_and_lists.parse_counters(counters)) + len(counters_and_lists.parse_lists(lists))
            > counters_and_lists.MAX_COUNTERS_AND_LISTS
        ):
            raise counters_and_lists.CounterListError(
                f"at most {counters_and_lists.MAX_COUNTERS_AND_LISTS} counters and lists"
            )
    except (ValueError, AttributeError, TypeError) as error:
        shape = '{"counters": {"rooms": {"count": 0, "capacity": 10}}, "lists": {…}}'
        raise ConfigurationError(
            f"LAUNCHDAY_FLEET_COUNTERS_AND_LISTS: {error}: write it like {shape}"
        ) from error
    return {"counters": counters, "lists": lists}
