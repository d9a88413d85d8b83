"""Options of the game server's socket: what is granted and good for, and that nothing is fragmented."""

from __future__ import annotations

import errno
import socket
import sys
from pathlib import Path

import pytest

from dedicated_server.native import socket_options
from dedicated_server.native.socket_options import (
    EXPEDITED_FORWARDING,
    INPUTS_A_TICK,
    IP_MTU_DISCOVER,
    IPV6_MTU_DISCOVER,
    PMTUDISC_PROBE,
    REMEDY,
    WANTED_BYTES,
    SocketBuffers,
    buffers_of,
    enlarge_buffers,
    forbid_fragments,
    granted_buffers,
    mark_realtime,
)

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's options are Linux's")
HAS_IPV6 = socket.has_ipv6 and Path("/proc/net/if_inet6").exists()
DEFAULT_LIMIT = 212_992  # of Linux; the kernel keeps twice of it
INPUT = bytes(58)


class Refusing(socket.socket):
    """A socket of a process that may not pass the system's limits."""

    def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
        if option in (socket_options.SO_RCVBUFFORCE, socket_options.SO_SNDBUFFORCE):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        super().setsockopt(level, option, value)


def udp(kind: type[socket.socket] = socket.socket, family: int = socket.AF_INET) -> socket.socket:
    return kind(family, socket.SOCK_DGRAM)


@LINUX
def test_what_was_granted_is_read_back() -> None:
    with udp() as opened:
        enlarge_buffers(opened)
        found = buffers_of(opened)
    assert 0 < found.receive_bytes <= 2 * WANTED_BYTES
    assert 0 < found.send_bytes <= 2 * WANTED_BYTES
    assert found == granted_buffers()


@LINUX
def test_who_may_not_force_gets_what_the_system_allows() -> None:
    allowed = {name: int(Path(f"/proc/sys/net/core/{name}").read_text()) for name in ("rmem_max", "wmem_max")}
    with udp(Refusing) as opened:
        enlarge_buffers(opened)
        found = buffers_of(opened)
    assert found == SocketBuffers(
        2 * min(WANTED_BYTES, allowed["rmem_max"]), 2 * min(WANTED_BYTES, allowed["wmem_max"])
    )


@LINUX
def test_a_socket_takes_the_inputs_of_as_many_players_as_it_is_said_to_be_good_for() -> None:
    with udp() as server, udp() as client:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            server.setsockopt(socket.SOL_SOCKET, option, DEFAULT_LIMIT)
        wanted = INPUTS_A_TICK * buffers_of(server).players
        assert wanted > 0
        for _ in range(wanted):
            client.sendto(INPUT, server.getsockname())
        assert sum(1 for _ in range(wanted) if server.recv(64) == INPUT) == wanted


@pytest.mark.parametrize(
    ("buffers", "players"),
    [
        (SocketBuffers(2 * DEFAULT_LIMIT, 2 * DEFAULT_LIMIT), 256),  # by inputs
        (SocketBuffers(2 * WANTED_BYTES, 2 * DEFAULT_LIMIT), 332),  # by snapshots
        (SocketBuffers(2 * WANTED_BYTES, 2 * WANTED_BYTES), 5_041),
    ],
)
def test_a_shortage_is_told_with_the_line_to_type_and_for_how_many_players_it_is_good(
    buffers: SocketBuffers, players: int
) -> None:
    assert buffers.players == players
    assert buffers.shortage(players) == ""
    line = buffers.shortage(players + 1)
    assert f"good for {players:,} players in a match, and not for {players + 1:,}" in line
    assert line.endswith(REMEDY)
    assert REMEDY == "sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304"


@LINUX
def test_nothing_is_fragmented_in_either_family() -> None:
    with udp() as opened:
        forbid_fragments(opened)
        assert opened.getsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER) == PMTUDISC_PROBE
    if HAS_IPV6:
        with udp(family=socket.AF_INET6) as both:
            forbid_fragments(both)
            assert both.getsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER) == PMTUDISC_PROBE
            assert both.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER) == PMTUDISC_PROBE


@LINUX
def test_datagrams_of_both_families_are_marked_for_expedited_forwarding() -> None:
    with udp() as opened:
        mark_realtime(opened)
        assert opened.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == EXPEDITED_FORWARDING == 0xB8
    if HAS_IPV6:
        with udp(family=socket.AF_INET6) as both:
            mark_realtime(both)
            for level, option in (
                (socket.IPPROTO_IP, socket.IP_TOS),
                (socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
            ):
                assert both.getsockopt(level, option) == EXPEDITED_FORWARDING


def test_a_system_that_allows_no_marks_is_left_alone() -> None:
    class Unmarked(socket.socket):
        def setsockopt(self, level: int, option: int, value: int) -> None:  # type: ignore[override]
            raise PermissionError(errno.EPERM, "Operation not permitted")

    with udp(Unmarked) as opened:
        mark_realtime(opened)
