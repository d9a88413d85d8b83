"""Where services listen: whether they can, and what else this machine must have for that."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from launchday.game_addresses import bind_error, is_every_address
from launchday.launcher.services import SERVICES
from launchday.settings import Settings, env_name

LOOPBACK = "127.0.0.1"
LOOPBACK_S = 1.0
NOT_ALLOWED = (errno.EACCES, errno.EPERM)
TAKE_FREE = "take free ones with --ports free"


def why_not_listening(settings: Settings, given: Mapping[str, str]) -> list[str]:
    """Say everything that keeps the processes of a backend from listening, a line each; [] where nothing
    does.

    All ports that are taken stand in one line, each with the setting that moves it.

    Args:
        settings: addresses and ports.
        given: by name of a service, the address that replaces it; "" where it is to be started.
    """
    host = settings.bind_host
    if reason := why_no_loopback() or why_no_address(host):
        return [reason]  # no port could be bound there, and each would be called busy
    wanted: dict[int, list[tuple[str, str]]] = {}
    for service in SERVICES:
        if (port := getattr(settings, service.port_setting)) and not given[service.name]:
            wanted.setdefault(port, []).append((service.name, service.port_setting))
    found = [
        f"port {port} is set for the {' and for the '.join(name for name, _ in users)}: set "
        f"{' or '.join(env_name(setting) for _, setting in users)} to another"
        for port, users in wanted.items()
        if len(users) > 1
    ]
    taken = []
    for port, ((name, setting), *_) in wanted.items():
        if (error := _bind(host, port)) is None:
            continue
        if error.errno in NOT_ALLOWED:
            found.append(_why(error, port, name, setting))
        else:
            taken.append((error, port, name, setting))
    if len(taken) == 1:
        found.append(f"{_why(*taken[0])}; or {TAKE_FREE}")
    elif taken:
        ports = ", ".join(f"{port} of the {name} ({env_name(setting)})" for _, port, name, setting in taken)
        found.append(f"ports are busy: {ports}: stop what uses them, or set others; or {TAKE_FREE}")
    if not given["fleet"] and (reason := why_no_game_addresses(settings) or why_no_game_ports(settings)):
        found.append(reason)
    return found


def why_not_bound(host: str, port: int, service: str, port_setting: str) -> str | None:
    """Say why a service cannot listen on its port, in one line that says what to do; None where it can.

    Args:
        host: an address of this machine, of either family.
        port: TCP port.
        service: its name.
        port_setting: the setting that holds the port.
    """
    error = _bind(host, port)
    return None if error is None else _why(error, port, service, port_setting)


def why_no_address(host: str) -> str | None:
    """Say that no service can listen on an address, in one line; None where one can."""
    error = _bind(host, 0)
    if error is None:
        return None
    return (
        f"{host} is no address of this machine ({error.strerror}): set {env_name('bind_host')} to one it has"
    )


def why_no_game_addresses(settings: Settings) -> str | None:
    """Say which address game servers cannot listen on, or cannot be reached by, in one line; None: none."""
    for region in settings.region_names:
        if (reason := why_no_game_address(settings.game_bind_in(region))) is not None:
            return reason
        for host in settings.game_public_hosts_in(region):
            if is_every_address(host):
                return (
                    f"{host} is no address that a player could reach: set {env_name('game_public_host')} to "
                    "the one by which players reach this machine"
                )
    return None


def why_no_game_address(host: str) -> str | None:
    """Say that no game server can listen on an address, in one line; None where one can."""
    error = why_no_game_port(host, 0)
    if error is None:
        return None
    return (
        f"{host} is no address of this machine ({error.strerror}): set {env_name('game_bind')} to one it "
        f"has, or to ::, and {env_name('game_public_host')} to what players are to be given"
    )


def why_no_game_port(host: str, port: int) -> OSError | None:
    """Return the system's reason why a game server cannot have a UDP port; None where it can."""
    return bind_error(host, port)


def why_no_game_ports(settings: Settings) -> str | None:
    """Say that game servers would not find a UDP port even at the start, in one line; None where they do."""
    first, last = settings.game_port_min, settings.game_port_max
    minimum, maximum = env_name("game_port_min"), env_name("game_port_max")
    if first > last:
        return f"{minimum} is {first}, above {maximum}, which is {last}: set {maximum} to at least {first}"
    hosts = {settings.game_bind_in(region) for region in settings.region_names}
    ports = range(first, last + 1)
    busy = [port for port in ports if any(why_no_game_port(host, port) is not None for host in hosts)]
    at_once = max(sum(settings.ready_by_region.values()), 1)
    if len(ports) - len(busy) >= min(at_once, settings.max_servers_in_all):
        return None
    return (
        f"{len(busy):,} of the UDP ports {first} to {last} of game servers are busy, {busy[0]} first: stop "
        f"what uses them, or set {minimum} and {maximum}; or {TAKE_FREE}"
    )


def why_no_loopback() -> str | None:
    """Say that this machine does not reach itself, in one line; None where it does."""
    try:
        with (
            socket.create_server((LOOPBACK, 0)) as listener,
            socket.create_connection(listener.getsockname(), timeout=LOOPBACK_S),
        ):
            return None
    except OSError as error:
        return f"{LOOPBACK} does not answer ({error.strerror or error}): ip link set lo up"


def _why(error: OSError, port: int, service: str, port_setting: str) -> str:
    if error.errno in NOT_ALLOWED:
        return (
            f"port {port} for the {service} is not for this user ({error.strerror}): set "
            f"{env_name(port_setting)} to one above 1023"
        )
    return f"port {port} for the {service} is busy: stop what uses it, or set {env_name(port_setting)}"


def _bind(host: str, port: int) -> OSError | None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error
    return None
