"""Makes the events that others consume from the records that the simulation leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt
import structlog

from dedicated_server.cards import ModeCard
from dedicated_server.match.mode_events import MatchNames, ModeEvent, weapon_of
from dedicated_server.match.spec import MatchSpec
from dedicated_server.simulation.event_buffer import (
    DEATH,
    KILL,
    MATCH_ENDED,
    MATCH_STARTED,
    MODE_EVENT,
    PLAYER_CONNECTED,
    PLAYER_LEFT,
    PLAYER_TIMED_OUT,
)
from dedicated_server.simulation.world import NOBODY
from dedicated_server.tick.slots import DamageTotals
from rewards import events
from rewards.events import DeathCause, Envelope, EventIds, PlayerPlacement, Source, WeaponDamage

LEFT, KICKED, TIMED_OUT, MATCH_OVER = "left", "kicked", "timed_out", "match_over"
EVENTS_PER_BATCH = 16  # built before others get a turn: 0.3 ms, so that no tick is late for them


log = structlog.get_logger()


class EventSink(Protocol):
    """Takes events: an EventProducer, or a double of it."""

    def emit(self, envelope: Envelope) -> bool:
        """Queue one event without waiting; return whether there was room for it."""


class _Going(NamedTuple):
    """How and when a player went who may still come back."""

    reason: str
    tick: int
    at_s: float


class MatchEvents:
    """Emits one match's events in order. Times are those of the ticks in which they happened.

    Their ids are made of the match, a number and when the match was formed: told again by another process,
    and at other times, it has the same. The results' do not depend on how many kills were told before, and
    those of connections are made of the player instead of a number.

    A player is connected once, with their first connection, and disconnected once: when they leave or are
    kicked; when they have timed out and their slot is given away or the match is over, dated by the time-out;
    or when the match is over. Who timed out and came back was here all the time.

    Args:
        spec: the match.
        source: names the server and the match in each event; its ids are not used.
        sink: takes the events.
        card: of the match's mode; its weapons and its events are what records number.
        tick_hz: ticks a second.
        has_left: whether the player of an entity left the match, which is then what the entity died of.
        was_kicked: whether the player of an entity had to leave.

    Attributes:
        emitted: how many events were emitted.
    """

    def __init__(
        self,
        spec: MatchSpec,
        source: Source,
        sink: EventSink,
        *,
        card: ModeCard,
        tick_hz: int,
        has_left: Callable[[int], bool],
        was_kicked: Callable[[int], bool] = lambda entity: False,
    ) -> None:
        self._spec = spec
        self._own_source = source
        self._source, self._damage_source, self._result_source = (
            replace(source, ids=EventIds.of_match(spec.match_id, spec.allocated_at, part))
            for part in ("", "damage/", "result/")
        )
        self._sink = sink
        self._tick_hz = tick_hz
        self._weapons = tuple(weapon.name for weapon in card.weapons)
        self._mode_events = tuple(ModeEvent.of(kind) for kind in card.events)
        self._has_left = has_left
        self._was_kicked = was_kicked
        self._started_tick = 0
        self._ended_tick: int | None = None
        self._last_death_tick: dict[int, int] = {}
        self._arrived_tick: dict[int, int] = {}  # of players who came into the running match
        self._player_ids = [entry.player_id for entry in spec.players]
        self._waited_s = {
            entry.player_id: entry.waited_s for entry in spec.players if entry.waited_s is not None
        }
        self._names = MatchNames(
            player_of=lambda entity: self._player_ids[entity],
            team_of=lambda entity: spec.players[entity].team,
            weapons=self._weapons,
            mode=spec.mode,
            tick_hz=tick_hz,
        )
        self._here: dict[int, _Going | None] = {}  # players who have connected and not gone for good
        self._gone: set[int] = set()
        self.emitted = 0

    async def emit_records(self, records: npt.NDArray[Any], *, now_s: float, tick: int) -> None:
        """Emit the events of records, and let others run between batches.

        Args:
            records: of ``EVENT_DTYPE``, shape (n,).
            now_s: Unix seconds of ``tick``.
            tick: the present tick.
        """
        for first in range(0, len(records), EVENTS_PER_BATCH):
            for record in records[first : first + EVENTS_PER_BATCH]:
                self._emit_record(record, now_s - (tick - int(record["tick"])) / self._tick_hz)
            await asyncio.sleep(0)

    def emit_result(self, results: Sequence[PlayerPlacement], *, now_s: float, tick: int) -> float:
        """Emit the end of the match and everybody's placement; ``now_s`` is Unix seconds of ``tick``.

        Returns when the match ended (Unix seconds), as the event says it: results are dated by the same.
        """
        ended_tick = tick if self._ended_tick is None else self._ended_tick
        ended_at_s = now_s - (tick - ended_tick) / self._tick_hz
        self._emit(
            events.match_ended(
                self._result_source,
                now_s=ended_at_s,
                tick=ended_tick,
                mode=self._spec.mode,
                duration_s=self._since_start_s(ended_tick),
                placements=results,
            )
        )
        return ended_at_s

    def emit_goings(self, *, now_s: float, tick: int) -> None:
        """Emit that everybody has gone who is still here; ``now_s`` is Unix seconds of ``tick``."""
        ended_tick = tick if self._ended_tick is None else self._ended_tick
        over = _Going(MATCH_OVER, ended_tick, now_s - (tick - ended_tick) / self._tick_hz)
        for player_id, going in list(self._here.items()):
            self._emit_going(player_id, going or over)

    def emit_damage(self, damage: Sequence[tuple[int, DamageTotals]], *, now_s: float, tick: int) -> None:
        """Emit what each player (by id) dealt and took; ``now_s`` is Unix seconds of ``tick``."""
        ended_tick = tick if self._ended_tick is None else self._ended_tick
        for player_id, done in damage:
            self._emit(
                events.damage_summary(
                    self._damage_source,
                    now_s=now_s - (tick - ended_tick) / self._tick_hz,
                    tick=ended_tick,
                    player_id=player_id,
                    taken=done.taken,
                    weapons=[WeaponDamage(self._weapons[done.weapon], done.dealt, done.shots, done.hits)],
                )
            )

    def played_s(self, entity: int, tick: int, *, until_death: bool) -> float:
        """Return the seconds that an entity's player played.

        From the start, or from the arrival of a player who came later, to the end of the match (``tick``
        while it lasts), or with ``until_death`` to the entity's death.
        """
        ended_tick = tick if self._ended_tick is None else self._ended_tick
        until_tick = self._last_death_tick.get(entity, ended_tick) if until_death else ended_tick
        from_tick = max(self._arrived_tick.get(entity, self._started_tick), self._started_tick)
        return max(0.0, (until_tick - from_tick) / self._tick_hz)

    def slot_reassigned(self, entity: int, player_id: int, waited_s: float) -> None:
        """Note that a slot was given to a player: what its entity does from now on is theirs."""
        if (going := self._here.get(self._player_ids[entity])) is not None:
            self._emit_going(self._player_ids[entity], going)
        self._player_ids[entity] = player_id
        self._waited_s[player_id] = waited_s

    def player_arrived(self, entity: int, tick: int) -> None:
        """Note that the player of a slot that was given away has arrived: their time counts from now on."""
        self._last_death_tick.pop(entity, None)
        self._arrived_tick[entity] = tick

    def _emit_record(self, record: Any, at_s: float) -> None:
        tick = int(record["tick"])
        match int(record["kind"]):
            case k if k == MATCH_STARTED:
                self._started_tick = tick
                roster = (
                    (player_id, entry.team)
                    for player_id, entry in zip(self._player_ids, self._spec.players, strict=True)
                )
                self._emit(
                    events.match_started(
                        self._source,
                        now_s=at_s,
                        tick=tick,
                        mode=self._spec.mode,
                        seed=self._spec.seed,
                        roster=roster,
                        waited_s=self._waited_s,
                        quality=self._spec.quality,
                    )
                )
            case k if k == KILL:
                self._emit(
                    events.kill(
                        self._source,
                        now_s=at_s,
                        tick=tick,
                        killer_id=self._player(record["actor"]),
                        victim_id=self._player(record["victim"]),
                        weapon=weapon_of(record, self._weapons),
                        distance_m=float(record["distance_m"]),
                        killer_at=(float(record["actor_x_m"]), float(record["actor_y_m"])),
                        victim_at=(float(record["victim_x_m"]), float(record["victim_y_m"])),
                        assist_ids=[] if record["assist"] == NOBODY else [self._player(record["assist"])],
                    )
                )
                self._emit_death(record, at_s, DeathCause.KILLED)
            case k if k == DEATH:
                left = self._has_left(int(record["victim"]))
                self._emit_death(record, at_s, DeathCause.LEFT if left else DeathCause.ZONE)
            case k if k == MATCH_ENDED:  # emitted by emit_result, once the placements are known
                self._ended_tick = tick
            case k if k >= MODE_EVENT:
                self._emit_mode_event(self._mode_events[k - MODE_EVENT], record, at_s)
            case k:
                self._note_connection(k, int(record["actor"]), _Going("", tick, at_s))

    def _emit_mode_event(self, event: ModeEvent, record: Any, at_s: float) -> None:
        fields = event.fields(record, self._names)
        if fields is None:
            log.error(
                "a hook said nobody did it: the event is dropped", kind=event.kind, mode=self._spec.mode
            )
            return
        self._emit(events.make_event(self._source, event.kind, fields, now_s=at_s, tick=int(record["tick"])))

    def _note_connection(self, kind: int, entity: int, when: _Going) -> None:
        """Note that a player came or went; what follows the end of the match is part of the end."""
        player_id = self._player(entity)
        if player_id in self._gone or self._ended_tick is not None:
            return
        if kind == PLAYER_CONNECTED:
            if player_id not in self._here:
                source = self._of_player(player_id, "connected")
                self._emit(
                    events.player_connected(source, now_s=when.at_s, tick=when.tick, player_id=player_id)
                )
            self._here[player_id] = None
        elif player_id in self._here and kind == PLAYER_TIMED_OUT:
            self._here[player_id] = when._replace(reason=TIMED_OUT)
        elif player_id in self._here and kind == PLAYER_LEFT:
            self._emit_going(player_id, when._replace(reason=KICKED if self._was_kicked(entity) else LEFT))

    def _emit_going(self, player_id: int, going: _Going) -> None:
        del self._here[player_id]
        self._gone.add(player_id)
        self._emit(
            events.player_disconnected(
                self._of_player(player_id, "disconnected"),
                now_s=going.at_s,
                tick=going.tick,
                player_id=player_id,
                reason=going.reason,
            )
        )

    def _of_player(self, player_id: int, what: str) -> Source:
        ids = EventIds.of_match(self._spec.match_id, self._spec.allocated_at, f"{what}/{player_id}/")
        return replace(self._own_source, ids=ids)

    def _emit_death(self, record: Any, at_s: float, cause: DeathCause) -> None:
        tick = int(record["tick"])
        self._last_death_tick[int(record["victim"])] = tick
        self._emit(
            events.death(
                self._source,
                now_s=at_s,
                tick=tick,
                victim_id=self._player(record["victim"]),
                cause=cause,
                at=(float(record["victim_x_m"]), float(record["victim_y_m"])),
                survived_s=self._since_start_s(tick),
            )
        )

    def _emit(self, envelope: Envelope) -> None:
        self._sink.emit(envelope)
        self.emitted += 1

    def _player(self, entity: Any) -> int:
        return self._player_ids[int(entity)]

    def _since_start_s(self, tick: int) -> float:
        return (tick - self._started_tick) / self._tick_hz
