"""Free ports for everything that a backend starts, so that it runs beside another on one machine."""

from __future__ import annotations

import secrets

from launchday.engines import EngineError, free_port
from launchday.launcher.listening import why_no_game_addresses, why_no_game_port
from launchday.launcher.services import SERVICES
from launchday.settings import Settings, env_name

GAME_PORTS_FROM, GAME_PORTS_BELOW = 10_000, 20_000  # below the TCP ports that `free_port` gives
MAX_RANGE_TRIES = 100


def free_ports(settings: Settings) -> dict[str, int]:
    """Choose free ports for everything that a backend starts on a port of the settings.

    Engines, sidecars and the fleet's web page take free ports at any time.

    Args:
        settings: how many game servers there may be, and which services are not started here.

    Returns:
        values of settings, by name: a TCP port a service, and a range of UDP ports for game servers.

    Raises:
        EngineError: no port is free.
    """
    ports = {each.port_setting: free_port() for each in SERVICES if not each.given(settings)}
    # Twice as many as servers: a port rests after its server has ended.
    first, last = _free_range(settings, 2 * settings.max_servers_in_all)
    return ports | {"game_port_min": first, "game_port_max": last, "console_port": 0}


def _free_range(settings: Settings, count: int) -> tuple[int, int]:
    """The first and the last of ``count`` UDP ports in a row that nobody has. Raises EngineError."""
    hosts = {settings.game_bind_in(region) for region in settings.region_names}
    if why_no_game_addresses(settings) is None:
        for _ in range(MAX_RANGE_TRIES):
            first = GAME_PORTS_FROM + secrets.randbelow(GAME_PORTS_BELOW - GAME_PORTS_FROM - count)
            ports = range(first, first + count)
            if all(why_no_game_port(host, port) is None for host in hosts for port in ports):
                return first, first + count - 1
    raise EngineError(
        f"no {count:,} UDP ports in a row are free on {', '.join(sorted(hosts))} for game servers: set "
        f"{env_name('game_bind')}, or {env_name('game_port_min')} and {env_name('game_port_max')}"
    )
