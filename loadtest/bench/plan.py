"""What a run is, and what its two processes tell of it: plain data that travels between processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from dedicated_server.transport import DEFAULT_KIND, TransportKind
from loadtest.bench.layout import Layout

HOST: Final = "127.0.0.1"
WARM_UP_S: Final = (
    1.5  # of play that does not count: baselines are acknowledged and caches warm after a few ticks
)
JOIN_S: Final = 30.0  # for all clients to connect


@dataclass(frozen=True, slots=True)
class Plan:
    """One match to be measured."""

    players: int
    layout: Layout
    seconds: float
    seed: int = 1
    transport: TransportKind = DEFAULT_KIND
    floor: bool = True  # beside it, half a tick later, the floor


@dataclass(frozen=True, slots=True)
class Opened:
    """The server awaits its clients."""

    tokens: tuple[bytes, ...]  # a connect token a player
    floor_port: int  # 0: there is no floor


@dataclass(slots=True)
class ServerFigures:
    """What the game server measured while the window was open; lists have one entry a tick."""

    tick_us: list[float]
    late_us: list[float]
    floor_us: list[float]
    floor_receive_us: list[float]
    floor_datagrams: tuple[int, int]  # received and sent by the floor,
    datagrams: tuple[int, int]  # and by the engine
    stages_us: dict[str, float]
    missed_ticks: int
    counters: dict[str, int]  # of the wire
    snapshot_bytes: dict[str, float]
    dropped: dict[str, int]
    kills: int
    shots: int
    hits: int
    connected: int


@dataclass(slots=True)
class CrowdFigures:
    """What the clients measured while the window was open."""

    kbit: list[float]  # per second and client, IP and UDP headers counted
    kbit_peak: float  # the most that any client got in any one second
    staleness_ms: dict[str, float]
    late_us: dict[str, float]  # of the crowd's own steps: when it is large, the generator is the bottleneck
    missed_steps: int  # left out, because the crowd was too slow,
    load: float  # share of its core that it used
    connected: int
    snapshots: int
    dropped: dict[str, int] = field(default_factory=dict)
