"""Options of a game server's UDP socket: how much of it waits in the kernel, that nothing is fragmented, and
how its datagrams are marked for the network.

Buffers are counted as the kernel counts them: a datagram of 58 bytes, an input, takes 832 of a buffer, and
one of 200 to 600, a snapshot, 1,283 (Linux 6.18). What finds no room is dropped: inputs of whoever sends
last, snapshots of whoever is sent to last.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import Final

WANTED_BYTES: Final = 4 << 20  # of each buffer; a kernel keeps twice of what it is asked for
INPUT_BYTES: Final = 832
SNAPSHOT_BYTES: Final = 1_283
INPUTS_A_TICK: Final = 2  # of each player: after a late tick those of two have arrived
REMEDY: Final = f"sysctl -w net.core.rmem_max={WANTED_BYTES} net.core.wmem_max={WANTED_BYTES}"

# Of Linux; what is past a limit of the system needs CAP_NET_ADMIN.
SO_SNDBUFFORCE: Final = 32
SO_RCVBUFFORCE: Final = 33
FORCED: Final = ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF))

IP_MTU_DISCOVER: Final = 10
IPV6_MTU_DISCOVER: Final = 23
PMTUDISC_PROBE: Final = 3
# Expedited forwarding (RFC 3246) in the upper six of eight bits. A Wi-Fi access point sends what is so marked
# first, by WMM (RFC 8325): less jitter. A network that does not know the mark carries it all the same.
EXPEDITED_FORWARDING: Final = 46 << 2


@dataclass(frozen=True, slots=True)
class SocketBuffers:
    """What the kernel keeps for a socket, in bytes as it counts them."""

    receive_bytes: int
    send_bytes: int

    @property
    def players(self) -> int:
        """Players of a match whose inputs and snapshots find room where all come, or go, at once."""
        return min(self.receive_bytes // (INPUTS_A_TICK * INPUT_BYTES), self.send_bytes // SNAPSHOT_BYTES)

    def shortage(self, players: int) -> str:
        """Say in one line that the buffers are too small for a match of so many; empty where they are not."""
        if players <= self.players:
            return ""
        return (
            f"a game server's socket gets buffers of {self.receive_bytes:,} and {self.send_bytes:,} bytes, "
            f"good for {self.players:,} players in a match, and not for {players:,}: {REMEDY}"
        )


UNBOUNDED: Final = SocketBuffers(1 << 62, 1 << 62)  # of what is no socket


def enlarge_buffers(opened: socket.socket) -> None:
    """Ask for ``WANTED_BYTES`` each way: past the system's limits where this process may, or up to them."""
    for forced, allowed in FORCED:
        try:
            opened.setsockopt(socket.SOL_SOCKET, forced, WANTED_BYTES)
        except OSError:  # not allowed, or not Linux
            with contextlib.suppress(OSError):
                opened.setsockopt(socket.SOL_SOCKET, allowed, WANTED_BYTES)


def buffers_of(opened: socket.socket) -> SocketBuffers:
    """Read back what the kernel granted."""
    return SocketBuffers(*(opened.getsockopt(socket.SOL_SOCKET, option) for _, option in FORCED))


def granted_buffers() -> SocketBuffers:
    """What a game server that this process starts is granted. Raises OSError where there are no sockets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        enlarge_buffers(opened)
        return buffers_of(opened)


def forbid_fragments(opened: socket.socket) -> None:
    """Send each datagram whole or not at all, whatever ICMP says about the path; where this is Linux.

    The protocol's longest datagram fits every path. The kernel then needs no number for an IP packet's
    fragments, which is 4 to 5 % of what sending costs, and forged ICMP changes nothing.
    """
    options = [(socket.IPPROTO_IP, IP_MTU_DISCOVER)]
    if opened.family == socket.AF_INET6:  # IPv4 goes out of it, too
        options.append((socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER))
    for level, option in options:
        with contextlib.suppress(OSError):
            opened.setsockopt(level, option, PMTUDISC_PROBE)


def mark_realtime(opened: socket.socket) -> None:
    """Mark what is sent as `EXPEDITED_FORWARDING`, of either family, where the system allows it."""
    options = [(socket.IPPROTO_IP, socket.IP_TOS)]
    if opened.family == socket.AF_INET6:
        options.append((socket.IPPROTO_IPV6, socket.IPV6_TCLASS))
    for level, option in options:
        with contextlib.suppress(OSError):
            opened.setsockopt(level, option, EXPEDITED_FORWARDING)
