"""One game server as its fleet knows it: state and history, metadata, and the Agones record that its sidecar serves."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from dedicated_server.fleet import states
from dedicated_server.fleet.client import FLEET_LABEL, MATCH_ANNOTATION
from dedicated_server.fleet.states import State

SDK_PREFIX = "agones.dev/sdk-"  # Agones puts what a server sets through its SDK under this
REPORT_ANNOTATION = f"{SDK_PREFIX}launchday-report"
NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Entry:
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
        pid: its process, once forked.
        last_health_at: Unix seconds of the last heartbeat, or of the creation.
        reserved_until: Unix seconds at which a Reserved server is Ready again; 0 = for ever.
        deadline: Unix seconds at which a server that should be gone is killed; None while it should live.
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
    history: list[Entry] = field(default_factory=list)
    last_health_at: float = 0.0
    reserved_until: float = 0.0
    deadline: float | None = None
    match_id: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    gone: bool = False
    version: int = 1
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.labels.setdefault(FLEET_LABEL, self.region)
        self.last_health_at = self.created_at
        self.history.append(Entry(self.state, self.created_at))

    def enter(self, state: State, now: float, reason: str = "") -> None:
        """Change the state; raises IllegalTransition."""
        states.check(self.state, state)
        self.state = state
        self.history.append(Entry(state, now, reason))
        self.touch()

    def touch(self) -> None:
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
        self.touch()

    def forget_match(self) -> None:
        """Drop what the last match left, where a server is used again."""
        self.annotations.pop(MATCH_ANNOTATION, None)
        self.match_id, self.report = "", {}
        self.touch()

    @property
    def has_match(self) -> bool:
        """Whether it was allocated with a match, readable or not."""
        return MATCH_ANNOTATION in self.annotations

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
                "counters": {},
                "lists": {},
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


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
