"""What a run is, and what its two processes tell of it: plain data that travels between processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import UUID

import numpy as np

from dedicated_server.transport import DEFAULT_KIND, TransportKind
from loadtest.bench.harness.layout import MAP, Layout

HOST: Final = "127.0.0.1"
MATCH_ID: Final = UUID("7d1c9b52-48e3-4f0a-9c66-d3a1be5f2870")
WARM_UP_S: Final = (
    1.5  # of play that does not count: baselines are acknowledged and caches warm after a few ticks
)
JOIN_S: Final = 30.0  # for all clients to connect
# Calm and rough blocks take turns, so that the machine's moods fall on both alike. Ticks at a block's beginning do not count: what the
# block before began is still under way.
BLOCK_TICKS: Final = 60
SETTLE_TICKS: Final = 15
# A storm of events is told within 0.12 s. Short blocks keep neighbours alike: the error is a third less than with blocks of a second.
EVENT_BLOCK_TICKS: Final = 24
EVENT_SETTLE_TICKS: Final = 9


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """A line between a client and the server; both directions are alike, and independent of each other."""

    rtt_ms: float = 100.0  # mean, without the server's own wait for its tick
    jitter_ms: float = 20.0  # standard deviation of the round trip
    loss: float = 0.05
    burst: float = 4.0  # datagrams lost in a row, on average

    def link_fields(self) -> dict[str, float]:
        """The fields of ``links.LINK_DTYPE`` of one direction."""
        jitter_s = (
            self.jitter_ms / 2**0.5 / 1e3
        )  # of two independent directions; exponential, so also the mean that it adds
        to_good = 1.0 / self.burst
        return {
            "delay_s": max(self.rtt_ms / 2e3 - jitter_s, 0.0),
            "jitter_s": jitter_s,
            "loss_bad": 1.0,
            "to_good": to_good,
            "to_bad": to_good * self.loss / (1.0 - self.loss),
        }

    def as_json(self) -> dict[str, float]:
        """For people."""
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
    floor: bool = True  # beside it, half a tick later, the floor
    events_per_s: int = 0  # in rough blocks, kills and deaths are told to Kafka at ``bootstrap``
    bootstrap: str = ""
    link: LinkConfig | None = None  # what clients are behind; None: the loopback alone
    hostile_per_s: int = 0  # in rough blocks, so many datagrams arrive that nobody should send

    @property
    def player_ids(self) -> list[int]:
        """Ids as long as real ones, so that one who looks for them in the traffic does not find them by chance."""
        drawn = np.random.default_rng((self.seed, self.players)).integers(2**60, 2**63 - 1, self.players)
        return [int(number) for number in drawn]

    @property
    def in_blocks(self) -> bool:
        """Whether calm and rough blocks take turns."""
        return self.events_per_s > 0 or self.hostile_per_s > 0

    @property
    def block(self) -> tuple[int, int]:
        """Ticks of a block, and how many of them, at its beginning, do not count."""
        return (
            (EVENT_BLOCK_TICKS, EVENT_SETTLE_TICKS) if self.events_per_s > 0 else (BLOCK_TICKS, SETTLE_TICKS)
        )


@dataclass(frozen=True, slots=True)
class ServerReady:
    """The server awaits its clients."""

    tokens: tuple[bytes, ...]  # a connect token a player
    floor_port: int  # 0: there is no floor


@dataclass(slots=True)
class ServerFigures:
    """What the game server measured while the window was open; lists have one entry a tick."""

    tick_us: list[float]
    block_kind: list[int]  # 1: in a rough block, 0: in a calm one, −1: near the edge of one
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
    inputs_refused: int
    rewinds_clamped: int
    grown_mb: float  # by which the process's memory grew
    last_tick: int
    events: dict[str, Any] = field(default_factory=dict)  # the producer's books, where events were told
    sent_hits: list[list[tuple[int, int, int]]] = field(
        default_factory=list
    )  # each client's hits: tick, a, b


@dataclass(slots=True)
class ClientFigures:
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
    hostile_sent: int = 0  # bad datagrams sent


@dataclass(slots=True)
class LossyClientFigures:
    """What clients behind lines measured while the window was open, but for what is of the whole match."""

    shown_error_m: dict[str, float]
    shown: int  # entities, over all frames and clients
    shown_ms_ago: float
    rtt_ms: dict[str, float]
    loss: float  # of the whole match, as is what follows
    starved: float  # share of frames that showed a tick of which no snapshot had come
    corrections: float  # share of predictions that were wrong
    received_hits: list[list[tuple[int, int]]]  # each client's hits: a, b
    connected: int
    missed_steps: int
