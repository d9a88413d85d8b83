"""The events of a mode: which of their fields a record of the simulation fills, found by their names.

A hook says which of its card's events happened, who did it, to whom, and one whole number
(``event_buffer.emit_mode_event``). The rest is in the record. By name and type of a field:

- ``victim_id``: the victim; any other player (``player_id``, ``finder_id``): who did it
- ``team``, ``victim_team``: of the one and of the other
- ``at``, ``actor_at`` and any other place: where the one was, ``victim_at``: where the other was
- ``mode``: the mode's name; ``weapon``: the record's, "" where it has none; ``distance_m``: between the two
- the one number that is left: the hook's, which is ticks where the field ends in ``_s``

A list stays empty, and what may be absent is. A kind with anything else cannot be emitted by a mode, nor one
that the game server itself emits: its card is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from dedicated_server.cards import CardError, Mistake, ModeCard
from dedicated_server.cards.mistakes import meant
from dedicated_server.simulation.world import NOBODY
from rewards.events import event_kinds
from rewards.events.kinds import FLOATS, INTEGERS, KINDS, is_player

PLACE: Final = {"x_m", "y_m"}  # the fields of a message that says where
OF_EVERY_MATCH: Final = {
    *("match_started", "match_ended", "kill", "death", "damage_summary"),
    *("player_connected", "player_disconnected"),
}
NUMBERS: Final = (*INTEGERS, FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_ENUM)


@dataclass(frozen=True, slots=True)
class MatchNames:
    """What records only number, player and team of an entity, a weapon's name; and what all share."""

    player_of: Callable[[int], int]
    team_of: Callable[[int], int]
    weapons: tuple[str, ...]
    mode: str
    tick_hz: int


Fill = Callable[[Any, MatchNames], Any]
"""Takes a record of ``EVENT_DTYPE`` and names; returns the value of a field."""


@dataclass(frozen=True, slots=True)
class ModeEvent:
    """One kind of event that a mode emits.

    Attributes:
        kind: its name.
        fills: field to what fills it.
        mistakes: why no mode can emit it, empty where one can.
    """

    kind: str
    fills: dict[str, Fill]
    mistakes: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: str) -> ModeEvent:
        """Find what fills the fields of a kind."""
        if kind not in KINDS:
            known = sorted(event_kinds())
            reason = f"there is no event called {kind} (rewards/events.proto has {', '.join(known)})"
            return cls(kind, {}, (f"{reason}{meant(kind, known)}",))
        if kind in OF_EVERY_MATCH:
            return cls(kind, {}, (f"{kind} is emitted of every match: from a hook it would count twice",))
        fills: dict[str, Fill] = {}
        left: list[FieldDescriptor] = []
        for field in KINDS[kind].message.fields:
            if (fill := _by_name(field)) is not None:
                fills[field.name] = fill
            elif not field.is_repeated and not field.has_presence:
                left.append(field)
        numbers = [field for field in left if field.type in (*FLOATS, *NUMBERS)]
        if len(numbers) == 1:
            fills[numbers[0].name] = _value(numbers[0])
        wrong = [field for field in left if field.name not in fills]
        mistakes = tuple(
            f"no mode can emit {kind}: nothing fills its {field.name}"
            + (", as a hook says one number" if field in numbers else "")
            for field in wrong
        )
        return cls(kind, fills, mistakes)

    def fields(self, record: Any, names: MatchNames) -> dict[str, Any] | None:
        """Return the fields of a record's event; None where the player who keys it is nobody."""
        found = {name: fill(record, names) for name, fill in self.fills.items()}
        return found if found.get(KINDS[self.kind].key, 1) else None


def check_events(cards: Iterable[ModeCard]) -> None:
    """Raise CardError, with a line for each event of a card that the schema lacks or that no hook can say."""
    wrong = [
        (card, Mistake(f"events/{number}", reason))
        for card in cards
        for number, kind in enumerate(card.events)
        for reason in ModeEvent.of(kind).mistakes
    ]
    if wrong:
        raise CardError([f"{card.folder}/{mistake}" for card, mistake in wrong], [each for _, each in wrong])


def _by_name(field: FieldDescriptor) -> Fill | None:
    who = "victim" if field.name.startswith("victim_") else "actor"
    if field.is_repeated:
        return None
    if is_player(field):
        return lambda record, names: _player(record[who], names)
    if field.message_type is not None:
        if {each.name for each in field.message_type.fields} != PLACE:
            return None
        return lambda record, names: {axis: float(record[f"{who}_{axis}"]) for axis in PLACE}
    match field.name, field.type in NUMBERS, field.type == FieldDescriptor.TYPE_STRING:
        case "team" | "victim_team", True, _:
            return lambda record, names: 0 if record[who] == NOBODY else names.team_of(int(record[who]))
        case "mode", _, True:
            return lambda record, names: names.mode
        case "weapon", _, True:
            return lambda record, names: weapon_of(record, names.weapons)
        case "distance_m", False, False:
            return lambda record, names: float(record["distance_m"])
    return None


def weapon_of(record: Any, weapons: tuple[str, ...]) -> str:
    """The name of a record's weapon, "" where it has none."""
    weapon = int(record["weapon"])
    return "" if weapon == NOBODY else weapons[weapon]


def _value(field: FieldDescriptor) -> Fill:
    if field.name.endswith("_s"):
        whole = field.type not in FLOATS
        return lambda record, names: (
            int(record["value"]) // names.tick_hz if whole else int(record["value"]) / names.tick_hz
        )
    if field.type == FieldDescriptor.TYPE_BOOL:
        return lambda record, names: bool(record["value"])
    return lambda record, names: int(record["value"])


def _player(entity: Any, names: MatchNames) -> int:
    return 0 if int(entity) == NOBODY else names.player_of(int(entity))
