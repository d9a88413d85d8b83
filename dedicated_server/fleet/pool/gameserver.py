"""One game server as its fleet knows it: state and history, metadata, and the Agones record of its sidecar.

Times named ``*_at`` are Unix seconds, for showing. Times named ``*_mono_s`` are seconds of the fleet's
monotonic clock: every time-out is decided by these, so that a step of the wall clock ends no server.
"""

from __future__ import annotations

import asyncio
import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from dedicated_server.agones_sdk import FLEET_LABEL, MATCH_ANNOTATION, REPORT_KEY, SDK_PREFIX
from dedicated_server.fleet.pool.config import HealthSpec
from dedicated_server.fleet.pool.counters_and_lists import Counter, ValueList
from dedicated_server.fleet.pool.states import FINAL_STATES, NEXT_STATES, IllegalTransitionError, State
from dedicated_server.protocol.server_addresses import ServerAddresses

REPORT_ANNOTATION = f"{SDK_PREFIX}{REPORT_KEY}"
STARTING = "starting"  # phase of a report before the match
NAMESPACE = "default"
REMEMBERED_MATCHES = 64  # annotations that were read last; 10 KB each


@dataclass(frozen=True, slots=True)
class StateChange:
    """One line of a state history.

    Attributes:
        state: the state that began.
        at: when it began, Unix seconds.
        mono_s: the same moment on the monotonic clock.
        reason: why it began, "" where there is nothing to say.
    """

    state: State
    at: float
    mono_s: float
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return this change as the admin API shows it."""
        return {"state": self.state, "at": self.at, **({"reason": self.reason} if self.reason else {})}


@dataclass(eq=False, slots=True)
class GameServer:
    """A game server. Only the pool and its sidecar change it; every change wakes those who watch it.

    Attributes:
        addresses: where it is reached.
        port: UDP port for players.
        sdk_port: TCP port of its sidecar on loopback.
        log: its log file.
        created_at, created_mono_s: when the pool decided to have it.
        pid: its process, once forked.
        node: the warm parent that forked it, "" before.
        fork_mono_s: when it is forked; later than its creation where a start-up delay is simulated.
        last_health_at, health_mono_s: its last heartbeat, or its creation.
        reserved_until_mono_s: when a Reserved server becomes Ready again; 0: never by itself.
        kill_mono_s: when a server that was told to leave gets SIGKILL; None while it should live.
        deleted_at: that moment as Agones' record shows it, Unix seconds; None while it should live.
        allocated_at, allocated_mono_s: when it was given to its match.
        claim_mono_s: by when an allocated server must have begun its match; None when it has, or has none.
        cordoned: it is given to no match.
        draining: it ends when its match does.
        memory_bytes: memory that it shares with nobody, as measured last.
        clock_ahead_s: seconds by which its machine's clock is ahead of the fleet's, as it says.
        match_id: the match that it was allocated for, "" where the annotation names none.
        report: its last report, as it gave it.
        taken_back: its match was ended by whoever asked for it.
        given_up: its match had failed before that: no player was ever sent there.
        gone: its process has ended, and the pool has taken its ports back.
        version: grows with each change.
    """

    name: str
    uid: str
    region: str
    addresses: ServerAddresses
    port: int
    sdk_port: int
    log: Path
    created_at: float
    created_mono_s: float
    health: HealthSpec
    state: State = State.PORT_ALLOCATION
    pid: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    history: list[StateChange] = field(default_factory=list)
    last_health_at: float = 0.0
    health_mono_s: float = 0.0
    reserved_until_mono_s: float = 0.0
    kill_mono_s: float | None = None
    deleted_at: float | None = None
    node: str = ""
    fork_mono_s: float = 0.0
    allocated_at: float = 0.0
    allocated_mono_s: float = 0.0
    claim_mono_s: float | None = None
    cordoned: bool = False
    draining: bool = False
    memory_bytes: int = 0
    clock_ahead_s: float = 0.0
    counters: dict[str, Counter] = field(default_factory=dict)
    lists: dict[str, ValueList] = field(default_factory=dict)
    match_id: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    taken_back: bool = False
    given_up: bool = False
    gone: bool = False
    version: int = 1
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.labels.setdefault(FLEET_LABEL, self.region)
        self.beat(self.created_at, self.created_mono_s)
        self.history.append(StateChange(self.state, self.created_at, self.created_mono_s))

    def check_transition(self, wanted: State) -> None:
        """Raise IllegalTransitionError unless the state ``wanted`` may follow the present one."""
        if wanted in NEXT_STATES[self.state] or (wanted in FINAL_STATES and self.state not in FINAL_STATES):
            return
        raise IllegalTransitionError(f"a game server that is {self.state} cannot become {wanted}")

    def enter(self, state: State, at: float, mono_s: float, reason: str = "") -> None:
        """Change the state; raises IllegalTransitionError.

        Args:
            state: the state to enter.
            at: now, Unix seconds.
            mono_s: now, monotonic seconds.
            reason: why, for operators.
        """
        self.check_transition(state)
        self.state = state
        self.history.append(StateChange(state, at, mono_s, reason))
        self.notify()

    def beat(self, at: float, mono_s: float) -> None:
        """Note a heartbeat."""
        self.last_health_at, self.health_mono_s = at, mono_s

    def resume(self, paused_s: float, now: float) -> None:
        """Grant a fresh time-out: the fleet could hear nobody for ``paused_s`` seconds until ``now``."""
        self.health_mono_s = now
        self.fork_mono_s += paused_s
        if self.claim_mono_s is not None:
            self.claim_mono_s += paused_s
        if self.reserved_until_mono_s:
            self.reserved_until_mono_s += paused_s
        if self.kill_mono_s is not None:
            self.kill_mono_s += paused_s

    def notify(self) -> None:
        """Wake those who watch the record, because it changed."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed_since(self, version: int) -> None:
        """Return once the record is newer than ``version``."""
        while self.version == version:
            await self._changed.wait()

    def annotate(self, annotations: dict[str, str], labels: dict[str, str] | None = None) -> None:
        """Add metadata, and read the match or the report out of it where it carries one."""
        self.annotations.update(annotations)
        self.labels.update(labels or {})
        if MATCH_ANNOTATION in annotations:
            self.match_id, _ = match_in(annotations[MATCH_ANNOTATION])
        if REPORT_ANNOTATION in annotations:
            report = _json_object(annotations[REPORT_ANNOTATION])
            # A report that was sent again after a pause may come behind the last one, which alone decides.
            if "outcome" in report or "outcome" not in self.report:
                self.report = report
            if self.claimed:
                self.claim_mono_s = None
        self.notify()

    def clear_match(self) -> None:
        """Drop what the last match left, where a server is used again."""
        self.annotations.pop(MATCH_ANNOTATION, None)
        self.annotations.pop(REPORT_ANNOTATION, None)
        self.match_id, self.report, self.claim_mono_s = "", {}, None
        self.notify()

    @property
    def has_match(self) -> bool:
        """Whether it was allocated with a match, readable or not."""
        return MATCH_ANNOTATION in self.annotations

    @property
    def match_failed(self) -> bool:
        """Whether it had a match that neither ended nor was taken back."""
        over = self.taken_back or self.report.get("outcome") in ("ended", "taken-back")
        return self.has_match and self.state in FINAL_STATES and not over

    @property
    def claimed(self) -> bool:
        """Whether the server has begun its match, which so may not begin elsewhere.

        A server that still waits for the check-out of its players reports that it is starting.
        """
        return bool(self.report) and (self.report.get("phase") != STARTING or "outcome" in self.report)

    @property
    def player_ids(self) -> tuple[int, ...]:
        """The players of its match, as far as its annotation names them."""
        return match_in(self.annotations.get(MATCH_ANNOTATION, ""))[1]

    @property
    def start_s(self) -> float | None:
        """Seconds from the fork to its first Ready; None while it has not been Ready."""
        ready = next((change.mono_s for change in self.history if change.state is State.READY), None)
        return None if ready is None else ready - self.fork_mono_s

    def record(self) -> dict[str, Any]:
        """Return the record that its sidecar serves: Agones' field names, 64-bit integers as strings."""
        return {
            "object_meta": {
                "name": self.name,
                "namespace": NAMESPACE,
                "uid": self.uid,
                "resource_version": str(self.version),
                "generation": str(len(self.history)),
                "creation_timestamp": str(int(self.created_at)),
                "deletion_timestamp": "0" if self.deleted_at is None else str(int(self.deleted_at)),
                "annotations": self.annotations,
                "labels": self.labels,
            },
            "spec": {"health": self.health.as_json()},
            "status": {
                "state": self.state,
                "address": self.addresses.address,
                "addresses": self.addresses.as_json(),
                "ports": [{"name": "default", "port": self.port}],
                "players": None,
                "counters": {name: counter.as_json() for name, counter in self.counters.items()},
                "lists": {name: values.as_json() for name, values in self.lists.items()},
            },
        }

    def summary(self) -> dict[str, Any]:
        """Return what the admin API's list shows of it."""
        return {
            "name": self.name,
            "region": self.region,
            "state": self.state,
            "state_since": self.history[-1].at,
            "address": self.addresses.address,
            "addresses": self.addresses.as_json(),
            "port": self.port,
            "sdk_port": self.sdk_port,
            "pid": self.pid,
            "node": self.node,
            "cordoned": self.cordoned,
            "draining": self.draining,
            "start_ms": None if self.start_s is None else round(self.start_s * 1000, 1),
            "memory_mb": round(self.memory_bytes / 2**20, 1),
            "clock_ahead_s": self.clock_ahead_s,
            "created_at": self.created_at,
            "last_health_at": self.last_health_at,
            "match_id": self.match_id or None,
            "gone": self.gone,
            "report": self.report,
        }


@functools.lru_cache(maxsize=REMEMBERED_MATCHES)
def match_in(annotation: str) -> tuple[str, tuple[int, ...]]:
    """Return the id and the players that a match annotation names; "" and none where it is malformed.

    The id is in canonical form, for it becomes a part of file names later: "" unless it is a UUID. An
    allocation asks twice; reading a match of a hundred players takes 60 µs.
    """
    match = _json_object(annotation)
    try:
        match_id = str(UUID(str(match["match_id"])))
    except (LookupError, ValueError):
        match_id = ""
    players = match.get("players")
    found = []
    for player in players if isinstance(players, list) else []:
        try:
            found.append(int(player["player_id"]))
        except (LookupError, TypeError, ValueError, OverflowError):
            continue
    return match_id, tuple(found)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
