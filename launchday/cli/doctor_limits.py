"""What ``launchday doctor`` says of the limits of processes, and for how many players they are good."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from dedicated_server.fleet.pool.ports import servers_that_fit
from dedicated_server.native.socket_options import SocketBuffers, granted_buffers
from launchday import machine, startup
from launchday.resilience.descriptor_budget import DescriptorBudget
from launchday.settings import Settings
from launchday.terminal import table
from loadtest.flood.capacity import players_by_ports, players_that_fit

OWN_DESCRIPTORS = 32  # of a matchmaker at whom players wait: 21 measured
FEW_DESCRIPTORS = 4_096


def limits(settings: Settings, players: int = 0) -> dict[str, Any]:
    """Return the limits as this process found them, and what they are good for, as plain data.

    Our processes raise the soft limit of descriptors to the hard one, so the hard one is what counts.
    ``players``: of the largest match in force.
    """
    buffers = _buffers()
    given, in_force = startup.given_descriptors(), startup.descriptors()
    return {
        "descriptors_soft": given.soft,
        "descriptors_hard": given.hard,
        "descriptors_in_force": in_force.soft,
        "waiting_players": max(DescriptorBudget.of(in_force.soft).refuse_from - OWN_DESCRIPTORS, 0),
        "flood_players": min(players_that_fit(in_force.soft), players_by_ports()),
        "game_servers": servers_that_fit(settings.max_servers_in_all, in_force.soft),
        "socket_bytes": {"receive": buffers.receive_bytes, "send": buffers.send_bytes},
        "match_players": buffers.players,
        "small_sockets": "" if settings.game_server_command else buffers.shortage(players),
        "cores": machine.cores(),
        "memory_mb": machine.memory_bytes() >> 20,
    }


def _buffers() -> SocketBuffers:
    """Return what a game server's socket gets; nothing where there are none, which is told elsewhere."""
    try:
        return granted_buffers()
    except OSError:
        return SocketBuffers(0, 0)


def limits_table(found: dict[str, Any]) -> Table:
    """Return the limits as a table for a terminal."""
    shown = table("limit", "value", "good for", title="Limits of a process")
    shown.add_row(
        "descriptors (ulimit -Sn, -Hn)",
        f"{found['descriptors_soft']:,} and {found['descriptors_hard']:,}; "
        f"{found['descriptors_in_force']:,} in force",
        f"{found['waiting_players']:,} players who wait at a service, {found['flood_players']:,} of a flood, "
        f"{found['game_servers']:,} game servers",
    )
    shown.add_row(
        "a game server's socket (net.core.rmem_max, wmem_max)",
        f"{found['socket_bytes']['receive']:,} and {found['socket_bytes']['send']:,} bytes",
        f"{found['match_players']:,} players in a match",
    )
    shown.add_row("cores", str(found["cores"]), "processes that compute side by side")
    shown.add_row("memory", f"{found['memory_mb']:,} MB", "this process and those that it starts")
    return shown


def few_descriptors(found: dict[str, Any]) -> str:
    """Say in one line that there are few descriptors; empty where thousands of players fit."""
    if found["descriptors_in_force"] >= FEW_DESCRIPTORS:
        return ""
    return (
        f"{found['descriptors_in_force']:,} descriptors are few: raise the hard limit (ulimit -Hn 65536, "
        "LimitNOFILE= of systemd, --ulimit nofile= of docker)"
    )
