"""One game server as its fleet knows it: state and history, metadata, and the Agones record that its sidecar serves."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from dedicated_server.fleet.client import FLEET_LABEL, MATCH_ANNOTATION
from dedicated_server.fleet.pool import states
from dedicated_server.fleet.pool.counters_and_lists import Counter, ValueList
from dedicated_server.fleet.pool.states import State

SDK_PREFIX = "agones.dev/sdk-"  # Agones puts what a server sets through its SDK under this
REPORT_ANNOTATION = f"{SDK_PREFIX}launchday-report"
NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class StateChange:
    """One line of a state history: the state, when it began (Unix seconds), and why, where there is something to say."""

    state: State
    at: float
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """This entry as the admin API shows it."""
        return {"state": self.state, "at": self.at, **({"reason": self.reason} if self.reason else {})}


@dataclass(frozen=True, slots=True)
class HealthSpec:
    """How a fleet watches heartbeats, in Agones' terms: ``failure_threshold`` periods without one are too many."""

    period_s: float = 5.0
    failure_threshold: int = 3
    initial_delay_s: float = 5.0

    @property
    def timeout_s(self) -> float:
        """Seconds without a heartbeat after which a server is Unhealthy."""
        return self.period_s * self.failure_threshold

    def as_json(self) -> dict[str, Any]:
        """The ``health`` part of Agones' record."""
        return {
            "disabled": False,
            "period_seconds": max(1, round(self.period_s)),
            "failure_threshold": self.failure_threshold,
            "initial_delay_seconds": max(1, round(self.initial_delay_s)),
        }


@dataclass(eq=False, slots=True)
class GameServer:
    """A game server. Only the pool and its sidecar change it; every change wakes those who watch it.

    Attributes:
        port: UDP port for players; sdk_port: TCP port of its sidecar on loopback.
        pid: its process, once forked; node: the warm parent that forked it.
        fork_at: Unix seconds at which it is forked, later than its creation where a start-up delay is simulated.
        last_health_at: Unix seconds of the last heartbeat, or of the creation.
        reserved_until: Unix seconds at which a Reserved server is Ready again; 0 = for ever.
        deadline: Unix seconds at which a server that should be gone is killed; None while it should live.
        claim_by: Unix seconds by which an allocated server must have said something of its match; None when it has, or has none.
        cordoned: it is given to no match. draining: it ends when its match does.
        match_id: the match it was allocated for, "" when the annotation names none.
        report: its last report, as it gave it.
    """

    name: str
    uid: str
    region: str
    address: str
    port: int
    sdk_port: int
    log: Path
    created_at: float
    health: HealthSpec
    state: State = State.PORT_ALLOCATION
    pid: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    history: list[StateChange] = field(default_factory=list)
    last_health_at: float = 0.0
    reserved_until: float = 0.0
    deadline: float | None = None
    node: str = ""
    fork_at: float = 0.0
    allocated_at: float = 0.0
    claim_deadline: float | None = None
    cordoned: bool = False
    draining: bool = False
    memory_bytes: int = 0
    counters: dict[str, Counter] = field(default_factory=dict)
    lists: dict[str, ValueList] = field(default_factory=dict)
    match_id: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    gone: bool = False
    version: int = 1
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.labels.setdefault(FLEET_LABEL, self.region)
        self.last_health_at = self.created_at
        self.history.append(StateChange(self.state, self.created_at))

    def enter(self, state: State, now: float, reason: str = "") -> None:
        """Change the state; raises IllegalTransition."""
        states.check_transition(self.state, state)
        self.state = state
        self.history.append(StateChange(state, now, reason))
        self.notify()

    def notify(self) -> None:
        """Say that the record changed."""
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
            self.match_id = _match_id(annotations[MATCH_ANNOTATION])
        if REPORT_ANNOTATION in annotations:
            self.report = _json_object(annotations[REPORT_ANNOTATION])
            self.claim_deadline = None
        self.notify()

    def clear_match(self) -> None:
        """Drop what the last match left, where a server is used again."""
        self.annotations.pop(MATCH_ANNOTATION, None)
        self.annotations.pop(REPORT_ANNOTATION, None)
        self.match_id, self.report, self.claim_deadline = "", {}, None
        self.notify()

    @property
    def has_match(self) -> bool:
        """Whether it was allocated with a match, readable or not."""
        return MATCH_ANNOTATION in self.annotations

    @property
    def claimed(self) -> bool:
        """Whether the server has said anything of its match: it began, so it can never be given another server."""
        return bool(self.report)

    @property
    def player_ids(self) -> tuple[int, ...]:
        """The players of its match, as far as its annotation names them."""
        return player_ids_in(self.annotations.get(MATCH_ANNOTATION, ""))

    @property
    def start_s(self) -> float | None:
        """Seconds from the fork to its first Ready; None while it has not been Ready."""
        ready = next((entry.at for entry in self.history if entry.state is State.READY), None)
        return None if ready is None else ready - self.fork_at

    def record(self) -> dict[str, Any]:
        """The record that its sidecar serves: Agones' field names, 64-bit integers as strings."""
        return {
            "object_meta": {
                "name": self.name,
                "namespace": NAMESPACE,
                "uid": self.uid,
                "resource_version": str(self.version),
                "generation": str(len(self.history)),
                "creation_timestamp": str(int(self.created_at)),
                "deletion_timestamp": "0" if self.deadline is None else str(int(self.deadline)),
                "annotations": self.annotations,
                "labels": self.labels,
            },
            "spec": {"health": self.health.as_json()},
            "status": {
                "state": self.state,
                "address": self.address,
                "addresses": [],
                "ports": [{"name": "default", "port": self.port}],
                "players": None,
                "counters": {name: counter.as_json() for name, counter in self.counters.items()},
                "lists": {name: values.as_json() for name, values in self.lists.items()},
            },
        }

    def summary(self) -> dict[str, Any]:
        """What the admin API's list shows of it."""
        return {
            "name": self.name,
            "region": self.region,
            "state": self.state,
            "state_since": self.history[-1].at,
            "address": self.address,
            "port": self.port,
            "sdk_port": self.sdk_port,
            "pid": self.pid,
            "node": self.node,
            "cordoned": self.cordoned,
            "draining": self.draining,
            "start_ms": None if self.start_s is None else round(self.start_s * 1000, 1),
            "memory_mb": round(self.memory_bytes / 2**20, 1),
            "created_at": self.created_at,
            "last_health_at": self.last_health_at,
            "match_id": self.match_id or None,
            "gone": self.gone,
            "report": self.report,
        }


def _match_id(annotation: str) -> str:
    """The match's id, canonical; "" unless it is a UUID. It names a file later, so nothing else will do."""
    try:
        return str(UUID(str(_json_object(annotation)["match_id"])))
    except (LookupError, ValueError):
        return ""


def player_ids_in(annotation: str) -> tuple[int, ...]:
    """The players of a match; of a match that is none, or is malformed, nobody."""
    players = _json_object(annotation).get("players")
    found = []
    for player in players if isinstance(players, list) else []:
        try:
            found.append(int(player["player_id"]))
        except (LookupError, TypeError, ValueError, OverflowError):
            continue
    return tuple(found)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
