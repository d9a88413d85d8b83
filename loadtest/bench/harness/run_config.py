"""What a run is: where the players are and which mode they play, its settings, and the figures of its two
processes.

The figures are plain data that travels between processes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt

from dedicated_server.cards import MAX_PLAYERS, ModeCard, shipped_cards
from dedicated_server.modes import Mode, load_mode
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.transport import DEFAULT_KIND, TransportKind

MAP_HALF_M: Final = 1_000.0  # of battle royale, and what positions on the wire can express
# Corner to corner 99 m: everybody is in everybody's innermost interest band, at the full rate
CLUSTER_HALF_M: Final = 35.0
SCALE_PLAYERS: Final = MAX_PLAYERS  # fill the map at the density at which `scale` measures
MODE_NAME: Final = "bench"
HOST: Final = "127.0.0.1"
MATCH_ID: Final = UUID("7d1c9b52-48e3-4f0a-9c66-d3a1be5f2870")
# Of play that is not measured: after it baselines are acknowledged and caches are warm
WARM_UP_S: Final = 1.5
JOIN_S: Final = 30.0  # for all clients to connect
# Baseline and disturbed blocks take turns, so that variations of the machine fall on both alike. Ticks at the
# beginning of a block do not count, because work of the block before is still in flight.
BLOCK_TICKS: Final = 60
SETTLE_TICKS: Final = 15
# A burst of events is sent within 0.12 s. Short blocks keep neighbours alike: the error is a third less than
# with blocks of a second.
EVENT_BLOCK_TICKS: Final = 24
EVENT_SETTLE_TICKS: Final = 9


Hit = tuple[int, int, int]  # that a shooter is told: victim, damage points, client tick of the shot


@dataclass(frozen=True, slots=True)
class Layout:
    """A square around the map's centre in which the players start and stay; ``half_m`` is half its side."""

    name: str
    half_m: float


MAP: Final = Layout("map", MAP_HALF_M)
CLUSTER: Final = Layout("cluster", CLUSTER_HALF_M)
LAYOUTS: Final = {layout.name: layout for layout in (MAP, CLUSTER)}


def constant_density(players: int) -> Layout:
    """Return a square in which this many players stand as dense as SCALE_PLAYERS on the whole map: 400 a
    square km.
    """
    return Layout("constant density", MAP_HALF_M * (players / SCALE_PLAYERS) ** 0.5)


def bench_mode() -> Mode:
    """The mode of the benchmarks: a battle royale that nothing ends.

    All stages do what they do in battle royale: the zone is computed for everybody, shots hit, hits hurt and
    kill. But a dead player is back in the next tick, so that the work stays the same, and the zone is wider
    than the map and never closes.
    """
    royale = load_mode(shipped_cards()["battle_royale"])
    card = replace(
        royale.card,
        name=MODE_NAME,
        zone=replace(royale.card.zone, margin_m=MAP_HALF_M, hold_share=1.0),
        respawn_s=1.0 / TICK_HZ,
    )
    return replace(royale, card=card, spawn=_spawn_in_square)


def _spawn_in_square(
    _card: ModeCard, teams: npt.NDArray[np.int32], radius_m: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Draw float64[2, N], positions spread evenly over the square of half side ``radius_m``."""
    return generator.uniform(-radius_m, radius_m, (2, len(teams)))


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """An emulated link between a client and the server; both directions are alike and independent of each
    other.
    """

    rtt_ms: float = 100.0  # mean, without the server's own wait for its tick
    jitter_ms: float = 20.0  # standard deviation of the round trip
    loss: float = 0.05
    burst: float = 4.0  # datagrams lost in a row, on average

    def link_fields(self) -> dict[str, float]:
        """Return the fields of ``links.LINK_DTYPE`` of one direction."""
        # Of two independent directions; it is exponential, so it is also the mean that it adds.
        jitter_s = self.jitter_ms / 2**0.5 / 1e3
        to_good = 1.0 / self.burst
        return {
            "delay_s": max(self.rtt_ms / 2e3 - jitter_s, 0.0),
            "jitter_s": jitter_s,
            "loss_bad": 1.0,
            "to_good": to_good,
            "to_bad": to_good * self.loss / (1.0 - self.loss),
        }

    def as_json(self) -> dict[str, float]:
        """Return the link's parameters as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RunConfig:
    """One match to be measured."""

    players: int
    layout: Layout = MAP
    seconds: float = 0.0
    seed: int = 1
    transport: TransportKind = DEFAULT_KIND
    port: int = 0  # of the server; 0: any
    floor: bool = True  # whether the floor takes a turn half a tick after each tick
    events_per_s: int = 0  # kills and deaths sent to Kafka at ``bootstrap`` in disturbed blocks
    bootstrap: str = ""
    link: LinkConfig | None = None  # between clients and server; None: the loopback alone
    hostile_per_s: int = 0  # hostile datagrams that arrive in disturbed blocks
    snapshot_every: int = 1  # ticks to a snapshot of each client; more where the server is overloaded
    fault: str = ""  # planted, so that a benchmark can show that it notices

    @property
    def player_ids(self) -> list[int]:
        """Ids as long as real ones, so that a search for them in the traffic does not find them by chance."""
        drawn = np.random.default_rng((self.seed, self.players)).integers(2**60, 2**63 - 1, self.players)
        return [int(number) for number in drawn]

    @property
    def in_blocks(self) -> bool:
        """Whether baseline and disturbed blocks take turns."""
        return self.events_per_s > 0 or self.hostile_per_s > 0

    @property
    def block(self) -> tuple[int, int]:
        """Ticks of a block, and how many of them at its beginning do not count."""
        return (
            (EVENT_BLOCK_TICKS, EVENT_SETTLE_TICKS) if self.events_per_s > 0 else (BLOCK_TICKS, SETTLE_TICKS)
        )


@dataclass(frozen=True, slots=True)
class ServerReady:
    """The server waits for its clients."""

    tokens: tuple[bytes, ...]  # a connect token for each player
    floor_port: int  # 0: there is no floor


@dataclass(slots=True)
class ServerFigures:
    """What the game server measured while the window was open; lists have one entry for each tick."""

    tick_us: list[float]
    block_kind: list[int]  # BASELINE, DISTURBED or TRANSITION of ``instrumented_engine``
    late_us: list[float]
    floor_us: list[float]
    floor_receive_us: list[float]
    floor_datagrams: tuple[int, int]  # received and sent by the floor
    datagrams: tuple[int, int]  # received and sent by the engine
    stages_us: dict[str, float]
    missed_ticks: int
    counters: dict[str, int]  # of the wire
    snapshot_bytes: dict[str, float]
    dropped: dict[str, int]
    kills: int
    shots: int
    hits: int
    connected: int
    inputs_refused: int
    rewinds_clamped: int
    grown_mb: float  # by which the process's memory grew
    last_tick: int
    events: dict[str, Any] = field(default_factory=dict)  # the producer's counters, where events were sent
    sent_hits: list[list[tuple[int, Hit]]] = field(default_factory=list)  # of each client, with their tick


@dataclass(slots=True)
class ClientFigures:
    """What the clients measured while the window was open."""

    kbit: list[float]  # per second and client, IP and UDP headers counted
    kbit_peak: float  # the most that any client got in any one second
    staleness_ms: dict[str, float]
    late_us: dict[str, float]  # of the clients' own steps: where it is large, the generator is the bottleneck
    missed_steps: int  # skipped because the clients were too slow
    load: float  # share of its core that their process used
    connected: int
    snapshots: int
    joined_s: float  # from the first request until all clients were connected
    skipped_share: float  # of the steps that were due while the window was open, those that were skipped
    dropped: dict[str, int] = field(default_factory=dict)
    hostile_sent: int = 0  # hostile datagrams sent


@dataclass(slots=True)
class LossyClientFigures:
    """What clients behind lossy links measured; from ``loss`` on, of the whole match and not of the window
    alone.
    """

    shown_error_m: dict[str, float]
    shown: int  # entities, over all frames and clients
    shown_ms_ago: float
    rtt_ms: dict[str, float]
    loss: float  # of the whole match, as is what follows
    starved: float  # share of frames that showed a tick of which no snapshot had arrived
    corrections: float  # share of predictions that were wrong
    received_hits: list[list[Hit]]  # each client's hits
    connected: int
    missed_steps: int


@dataclass(slots=True)
class RoamingClientFigures:
    """What clients measured whose players roam; by kind of change."""

    back_s: dict[str, list[float]]  # from a new port's first datagram to the first snapshot there
    lost: dict[str, int]  # changes after which none came within the time-out
    connected: int
    missed_steps: int
    dropped: dict[str, int] = field(default_factory=dict)
