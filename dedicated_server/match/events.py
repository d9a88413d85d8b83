"""Makes the events that others consume from the records that the simulation leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy.typing as npt

from dedicated_server.match.spec import MatchSpec
from dedicated_server.simulation.event_buffer import DEATH, KILL, MATCH_ENDED, MATCH_STARTED
from dedicated_server.tick.slots import DamageTotals
from rewards import events
from rewards.events import DeathCause, Envelope, EventIds, PlayerPlacement, Source, WeaponDamage

EVENTS_PER_BATCH = 16  # built before others get a turn: 0.3 ms, so that no tick is late for them


class EventSink(Protocol):
    """Takes events: an EventProducer, or a double of it."""

    def emit(self, envelope: Envelope) -> bool:
        """Queue one event without waiting; return whether there was room for it."""


class MatchEvents:
    """Emits one match's events in order. Times are those of the ticks in which they happened.

    Their ids are made of the match, a number and when the match was formed: told again by another process,
    and at other times, it has the same. The results' do not depend on how many kills were told before.

    Args:
        spec: the match.
        source: names the server and the match in each event; its ids are not used.
        sink: takes the events.
        tick_hz: ticks a second.
        weapons: their names, as the records number them.
        has_left: whether the player of an entity left the match, which is then what the entity died of.

    Attributes:
        emitted: how many events were emitted.
    """

    def __init__(
        self,
        spec: MatchSpec,
        source: Source,
        sink: EventSink,
        *,
        tick_hz: int,
        weapons: Sequence[str],
        has_left: Callable[[int], bool],
    ) -> None:
        self._spec = spec
        self._source, self._damage_source, self._result_source = (
            replace(source, ids=EventIds.of_match(spec.match_id, spec.allocated_at, part))
            for part in ("", "damage/", "result/")
        )
        self._sink = sink
        self._tick_hz = tick_hz
        self._weapons = weapons
        self._has_left = has_left
        self._started_tick = 0
        self._ended_tick: int | None = None
        self._last_death_tick: dict[int, int] = {}
        self._arrived_tick: dict[int, int] = {}  # of players who came into the running match
        self._player_ids = [entry.player_id for entry in spec.players]
        self._waited_s = {
            entry.player_id: entry.waited_s for entry in spec.players if entry.waited_s is not None
        }
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
                        weapon=self._weapons[int(record["weapon"])],
                        distance_m=float(record["distance_m"]),
                        killer_at=(float(record["actor_x_m"]), float(record["actor_y_m"])),
                        victim_at=(float(record["victim_x_m"]), float(record["victim_y_m"])),
                    )
                )
                self._emit_death(record, at_s, DeathCause.KILLED)
            case k if k == DEATH:
                left = self._has_left(int(record["victim"]))
                self._emit_death(record, at_s, DeathCause.LEFT if left else DeathCause.ZONE)
            case k if k == MATCH_ENDED:  # emitted by emit_result, once the placements are known
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
