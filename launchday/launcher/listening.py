"""Where services listen: whether they can, and what else this machine must have for that."""

from __future__ import annotations

import errno
import socket

from launchday.settings import env_name

LOOPBACK = "127.0.0.1"
LOOPBACK_S = 1.0


def why_not_bound(host: str, port: int, service: str, port_setting: str) -> str | None:
    """Say why a service cannot listen on its port, in one line that says what to do; None where it can.

    Args:
        host: an address of this machine, of either family.
        port: TCP port.
        service: its name.
        port_setting: the setting that holds the port.
    """
    error = _bind(host, port)
    if error is None:
        return None
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"port {port} for the {service} is not for this user ({error.strerror}): set "
            f"{env_name(port_setting)} to one above 1023"
        )
    return f"port {port} for the {service} is busy: stop what uses it, or set {env_name(port_setting)}"


def why_no_address(host: str) -> str | None:
    """Say that no service can listen on an address, in one line; None where one can."""
    error = _bind(host, 0)
    if error is None:
        return None
    return (
        f"{host} is no address of this machine ({error.strerror}): set {env_name('bind_host')} to one it has"
    )


def why_no_game_address(host: str) -> str | None:
    """Say that no game server can listen on an address, in one line; None where one can.

    The wire protocol's sockets are of IPv4.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError as error:
        return (
            f"{host} is no IPv4 address of this machine ({error.strerror}): set {env_name('game_host')} to "
            "one it has"
        )
    return None


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


def _bind(host: str, port: int) -> OSError | None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error
    return None
