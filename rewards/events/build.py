"""Making events. We make them in no other way, so every envelope is complete.

There is one function for each kind that code of ours makes, and ``make_event`` for a kind that is known by
its name, as those that a mode's card names. Each takes the source, the time when it happened (``now_s``, Unix
seconds) and, inside a match, the match's tick.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from rewards.events import events_pb2 as pb
from rewards.events.ids import EventIds
from rewards.events.kinds import KINDS

Envelope = pb.Envelope
Point = tuple[float, float]
"""x and y in metres."""


class DeathCause(IntEnum):
    """What ended a player's match."""

    KILLED = pb.Death.CAUSE_KILLED
    ZONE = pb.Death.CAUSE_ZONE
    LEFT = pb.Death.CAUSE_LEFT


class ServerState(IntEnum):
    """Where a game server is in its life."""

    STARTED = pb.ServerLifecycle.STATE_STARTED
    READY = pb.ServerLifecycle.STATE_READY
    ALLOCATED = pb.ServerLifecycle.STATE_ALLOCATED
    ENDED = pb.ServerLifecycle.STATE_ENDED
    LOST = pb.ServerLifecycle.STATE_LOST


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends an event: what all events of one match have in common.

    Attributes:
        producer: the game server's or service's name.
        region: its region's slug.
        match_id: the match, or None outside of one.
        ids: makes the event ids; services use ``EventIds.from_clock``.
    """

    producer: str
    region: str
    match_id: uuid.UUID | None = None
    _: KW_ONLY
    ids: EventIds


@dataclass(frozen=True, slots=True)
class PlayerPlacement:
    """How a match ended for one player; placement 1 won."""

    player_id: int
    team: int
    placement: int
    kills: int
    played_s: float


@dataclass(frozen=True, slots=True)
class WeaponDamage:
    """What one player did with one weapon in one match; ``dealt`` is in points of damage."""

    weapon: str
    dealt: float
    shots: int
    hits: int


def make_event(
    source: Source, kind: str, fields: Mapping[str, Any], *, now_s: float, tick: int = 0
) -> Envelope:
    """An event of any kind, its fields by their names.

    Args:
        source: who sends it.
        kind: one of `rewards.events.event_kinds`.
        fields: name to value; an entry of a list, or a place, is a mapping of names to values.
        now_s: when it happened, Unix seconds.
        tick: of the match.

    Raises ValueError for a kind or a field that the schema does not have, TypeError for a value of another
    type.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no kind of event called {kind}")
    envelope = _envelope(source, now_s, tick)
    event = getattr(envelope, kind)
    event.SetInParent()
    event.MergeFrom(type(event)(**fields))
    return envelope


def match_started(
    source: Source,
    *,
    now_s: float,
    tick: int,
    mode: str,
    seed: int,
    roster: Iterable[tuple[int, int]],
    waited_s: Mapping[int, float] = MappingProxyType({}),
    quality: float | None = None,
) -> Envelope:
    """A match begins.

    Args:
        roster: (player id, team) of each player.
        waited_s: seconds from the ticket to the match by player id, where known.
        quality: 0 to 1, how even the sides were expected to be, where known.
    """
    envelope = _envelope(source, now_s, tick)
    event = envelope.match_started
    event.mode = mode
    event.seed = seed & 0xFFFF_FFFF_FFFF_FFFF
    event.players.extend(
        pb.RosterEntry(player_id=player_id, team=team, waited_s=waited_s.get(player_id))
        for player_id, team in roster
    )
    if quality is not None:
        event.quality = quality
    return envelope


def match_ended(
    source: Source,
    *,
    now_s: float,
    tick: int,
    mode: str,
    duration_s: float,
    placements: Iterable[PlayerPlacement],
) -> Envelope:
    """A match is over. Experience for playing and winning comes from this event."""
    envelope = _envelope(source, now_s, tick)
    event = envelope.match_ended
    event.mode = mode
    event.duration_s = duration_s
    event.placements.extend(
        pb.Placement(
            player_id=result.player_id,
            team=result.team,
            placement=result.placement,
            kills=result.kills,
            played_s=result.played_s,
        )
        for result in placements
    )
    return envelope


def kill(
    source: Source,
    *,
    now_s: float,
    tick: int,
    killer_id: int,
    victim_id: int,
    weapon: str,
    distance_m: float,
    killer_at: Point,
    victim_at: Point,
    assist_ids: Sequence[int] = (),
) -> Envelope:
    """One player killed another. Emit the victim's ``death`` as well."""
    envelope = _envelope(source, now_s, tick)
    event = envelope.kill
    event.killer_id = killer_id
    event.victim_id = victim_id
    event.weapon = weapon
    event.distance_m = distance_m
    event.killer_at.x_m, event.killer_at.y_m = killer_at
    event.victim_at.x_m, event.victim_at.y_m = victim_at
    event.assist_ids.extend(assist_ids)
    return envelope


def death(
    source: Source,
    *,
    now_s: float,
    tick: int,
    victim_id: int,
    cause: DeathCause,
    at: Point,
    survived_s: float,
) -> Envelope:
    """A player died, whatever the cause."""
    envelope = _envelope(source, now_s, tick)
    event = envelope.death
    event.victim_id = victim_id
    event.cause = cause.value
    event.at.x_m, event.at.y_m = at
    event.survived_s = survived_s
    return envelope


def xp_granted(
    source: Source, *, now_s: float, player_id: int, xp: int, reason: str, tick: int = 0
) -> Envelope:
    """Experience from outside the rules, such as a compensation."""
    envelope = _envelope(source, now_s, tick)
    event = envelope.xp_granted
    event.player_id = player_id
    event.xp = xp
    event.reason = reason
    return envelope


def player_connected(source: Source, *, now_s: float, tick: int, player_id: int) -> Envelope:
    """A player's first datagram of this match was accepted."""
    envelope = _envelope(source, now_s, tick)
    envelope.player_connected.player_id = player_id
    return envelope


def player_disconnected(source: Source, *, now_s: float, tick: int, player_id: int, reason: str) -> Envelope:
    """A player left or was lost."""
    envelope = _envelope(source, now_s, tick)
    envelope.player_disconnected.player_id = player_id
    envelope.player_disconnected.reason = reason
    return envelope


def damage_summary(
    source: Source,
    *,
    now_s: float,
    tick: int,
    player_id: int,
    taken: float,
    weapons: Iterable[WeaponDamage],
) -> Envelope:
    """What a player dealt and took in a match; the sum dealt is that of the weapons."""
    envelope = _envelope(source, now_s, tick)
    event = envelope.damage_summary
    event.player_id = player_id
    event.taken = taken
    event.weapons.extend(
        pb.DamageSummary.Weapon(weapon=each.weapon, dealt=each.dealt, shots=each.shots, hits=each.hits)
        for each in weapons
    )
    event.dealt = sum(each.dealt for each in event.weapons)
    return envelope


def level_up(
    source: Source, *, now_s: float, player_id: int, from_level: int, to_level: int, xp: int
) -> Envelope:
    """A player reached a level."""
    envelope = _envelope(source, now_s, 0)
    event = envelope.level_up
    event.player_id = player_id
    event.from_level = from_level
    event.to_level = to_level
    event.xp = xp
    return envelope


def purchase(
    source: Source,
    *,
    now_s: float,
    player_id: int,
    purchase_id: str,
    item_id: str,
    currency: str,
    price: int,
    quantity: int = 1,
) -> Envelope:
    """A player bought ``quantity`` of an item, for ``price`` in all."""
    envelope = _envelope(source, now_s, 0)
    event = envelope.purchase
    event.player_id = player_id
    event.purchase_id = purchase_id
    event.item_id = item_id
    event.currency = currency
    event.price = price
    event.quantity = quantity
    return envelope


def loadout_changed(source: Source, *, now_s: float, player_id: int, skin: str, version: int) -> Envelope:
    """A player's loadout was stored; ``skin`` is the one worn now."""
    envelope = _envelope(source, now_s, 0)
    event = envelope.loadout_changed
    event.player_id = player_id
    event.skin = skin
    event.version = version
    return envelope


def server_lifecycle(source: Source, *, now_s: float, state: ServerState, reason: str = "") -> Envelope:
    """The server that ``source`` names as its producer reached a state."""
    envelope = _envelope(source, now_s, 0)
    envelope.server_lifecycle.state = state.value
    envelope.server_lifecycle.reason = reason
    return envelope


def _envelope(source: Source, now_s: float, tick: int) -> Envelope:
    return pb.Envelope(
        event_id=source.ids.next(now_s),
        match_id=b"" if source.match_id is None else source.match_id.bytes,
        region=source.region,
        tick=tick,
        producer=source.producer,
        occurred_at=now_s,
    )
