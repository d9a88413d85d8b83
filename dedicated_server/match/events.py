"""From the records that the simulation leaves to the events that others consume."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from dedicated_server.match.spec import MatchSpec
from dedicated_server.simulation.event_buffer import DEATH, KILL, MATCH_ENDED, MATCH_STARTED
from dedicated_server.simulation.weapons import NAMES
from dedicated_server.tick.slots import DamageTotals
from rewards import events
from rewards.events import DeathCause, Envelope, PlayerPlacement, Source, WeaponDamage

EVENTS_PER_BATCH = (
    16  # events built between two looks at the clock by others: 0.3 ms, so that a tick is never late for it
)


class EventSink(Protocol):
    """Where events go: an EventProducer."""

    def emit(self, envelope: Envelope) -> bool:
        """Queue one event without waiting."""


class MatchEvents:
    """Tells one match's events, in order. Times are those of the ticks they happened in.

    Args:
        order: the match.
        source: who tells.
        outlet: where they go.
        tick_hz: ticks a second.
        has_left: whether the player of an entity has left the match by itself: what it died of then.

    Attributes:
        emitted: how many were told.
    """

    def __init__(
        self,
        spec: MatchSpec,
        source: Source,
        sink: EventSink,
        *,
        tick_hz: int,
        has_left: Callable[[int], bool],
    ) -> None:
        self._spec = spec
        self._source = source
        self._sink = sink
        self._tick_hz = tick_hz
        self._has_left = has_left
        self._started_tick = 0
        self._ended_tick: int | None = None
        self._last_death_tick: dict[int, int] = {}
        self._arrived_tick: dict[int, int] = {}  # of who came while it was played
        self._player_ids = [seat.player_id for seat in spec.players]
        self._waited_s = {seat.player_id: seat.waited_s for seat in spec.players if seat.waited_s is not None}
        self.emitted = 0

    async def emit_records(self, records: npt.NDArray[Any], *, now_s: float, tick: int) -> None:
        """Tell records of ``simulation.events.EVENT_DTYPE``; it is ``tick`` at ``now_s``. Lets others run between batches."""
        for first in range(0, len(records), EVENTS_PER_BATCH):
            for record in records[first : first + EVENTS_PER_BATCH]:
                self._emit_record(record, now_s - (tick - int(record["tick"])) / self._tick_hz)
            await asyncio.sleep(0)

    def emit_result(self, results: Sequence[PlayerPlacement], *, now_s: float, tick: int) -> None:
        """Tell that the match is over, and how it ended for each; it is ``tick`` at ``now_s``."""
        ended_tick = tick if self._ended_tick is None else self._ended_tick
        self._emit(
            events.match_ended(
                self._source,
                now_s=now_s - (tick - ended_tick) / self._tick_hz,
                tick=ended_tick,
                mode=self._spec.mode,
                duration_s=self._since_start_s(ended_tick),
                placements=results,
            )
        )

    def emit_damage(self, damage: Sequence[tuple[int, DamageTotals]], *, now_s: float, tick: int) -> None:
        """Tell what each player (by id) dealt and took in the match, once it is over; it is ``tick`` at ``now_s``."""
        ended_tick = tick if self._ended_tick is None else self._ended_tick
        for player_id, done in damage:
            self._emit(
                events.damage_summary(
                    self._source,
                    now_s=now_s - (tick - ended_tick) / self._tick_hz,
                    tick=ended_tick,
                    player_id=player_id,
                    taken=done.taken,
                    weapons=[WeaponDamage(NAMES[done.weapon], done.dealt, done.shots, done.hits)],
                )
            )

    def played_s(self, entity: int, tick: int, *, until_death: bool) -> float:
        """Seconds from the start, or since its player came later, to the end of the match (``tick`` while it lasts), or to the
        entity's death."""
        ended_tick = tick if self._ended_tick is None else self._ended_tick
        until_tick = self._last_death_tick.get(entity, ended_tick) if until_death else ended_tick
        from_tick = max(self._arrived_tick.get(entity, self._started_tick), self._started_tick)
        return max(0.0, (until_tick - from_tick) / self._tick_hz)

    def slot_reassigned(self, entity: int, player_id: int, waited_s: float) -> None:
        """A seat has been given to a player: what its entity does from here on is his."""
        self._player_ids[entity] = player_id
        self._waited_s[player_id] = waited_s

    def player_arrived(self, entity: int, tick: int) -> None:
        """The player of a seat that was given has arrived: his time counts from here."""
        self._last_death_tick.pop(entity, None)
        self._arrived_tick[entity] = tick

    def _emit_record(self, record: Any, at_s: float) -> None:
        tick = int(record["tick"])
        match int(record["kind"]):
            case k if k == MATCH_STARTED:
                self._started_tick = tick
                roster = (
                    (player_id, seat.team)
                    for player_id, seat in zip(self._player_ids, self._spec.players, strict=True)
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
                        weapon=NAMES[int(record["weapon"])],
                        distance_m=float(record["distance_m"]),
                        killer_at=(float(record["actor_x_m"]), float(record["actor_y_m"])),
                        victim_at=(float(record["victim_x_m"]), float(record["victim_y_m"])),
                    )
                )
                self._emit_death(record, at_s, DeathCause.KILLED)
            case k if k == DEATH:
                left = self._has_left(int(record["victim"]))
                self._emit_death(record, at_s, DeathCause.LEFT if left else DeathCause.ZONE)
            case k if k == MATCH_ENDED:  # told by tell_result, once the placements are known
                self._ended_tick = tick

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
