"""What a recording says of its match: the configuration, the mode's numbers, and who has its slots.

All of it is JSON, and was written by somebody: readers check each value.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from dedicated_server.cards import ModeCard, cards_in_force, unknown_mode
from dedicated_server.protocol.fields import MAX_ENTITIES
from dedicated_server.recording.file import DamagedRecordingError, UnknownModeRecordedError
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from launchday.settings import settings

MAX_MATCH_S: Final = 24 * 3_600.0
MAX_NAME_BYTES: Final = 128
MAX_TICK: Final = 2**31 - 1

# What of a card decides how a match goes; the rest is for matchmakers and bots.
PLAYED_BY: Final = (
    *("each_alone", "teams", "speed_m_per_s", "map_half_m", "boxes", "bases", "zone", "weapons"),
    *("respawn_s", "score", "objects", "rows", "events"),
)


def describe(config: MatchConfig) -> dict[str, Any]:
    """A match as its section has it."""
    return {
        "match_id": str(config.match_id),
        "mode": config.mode,
        "seed": config.seed,
        "match_s": config.match_s,
        "join_timeout_s": config.join_timeout_s,
        "come_timeout_s": config.come_timeout_s,
        "tick_hz": config.tick_hz,
        "spawn_radius_m": config.spawn_radius_m,
        "players": [_slot(player) for player in config.players],
        "card": played_by(config.card),
    }


def describe_roster(tick: int, before: Sequence[RosterPlayer], now: Sequence[RosterPlayer]) -> dict[str, Any]:
    """The slots that are others' since a tick, as a roster section has them."""
    changed = (new for old, new in zip(before, now, strict=True) if old != new)
    return {"tick": tick, "players": [_slot(player) for player in changed]}


def played_by(card: ModeCard) -> dict[str, Any]:
    """What of a mode decides how a match goes: numbers of its card, in JSON, and a hash of its hooks."""
    return {**{name: _plain(getattr(card, name)) for name in PLAYED_BY}, "hooks": _hash_of(card.hooks)}


def read_config(described: dict[str, Any]) -> MatchConfig:
    """The configuration of a match section.

    Raises DamagedRecordingError, and UnknownModeRecordedError where the mode is not there.
    """
    try:
        radius_m = described["spawn_radius_m"]
        come_s = described.get("come_timeout_s")  # not in earlier recordings
        config = MatchConfig(
            match_id=UUID(described["match_id"]),
            card=_card_named(str(described["mode"])),
            seed=_integer(described["seed"], 0, 2**128),
            match_s=_number(described["match_s"], MAX_MATCH_S),
            join_timeout_s=_number(described["join_timeout_s"], MAX_MATCH_S),
            come_timeout_s=None if come_s is None else _number(come_s, MAX_MATCH_S),
            tick_hz=_integer(described["tick_hz"], 1, 1_000),
            spawn_radius_m=None if radius_m is None else _number(radius_m, 1e6),
            players=[_read_slot(slot) for slot in described["players"]],
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedRecordingError(f"the match is not described: {error!r}") from None
    if not 1 <= len(config.players) <= MAX_ENTITIES:
        raise DamagedRecordingError(f"a match of {len(config.players)} players")
    return config


def read_roster_change(
    described: dict[str, Any], roster: Sequence[RosterPlayer]
) -> tuple[int, tuple[RosterPlayer, ...]]:
    """A roster section: the tick, and who has the slots from then on. Raises DamagedRecordingError."""
    try:
        tick = _integer(described["tick"], 0, MAX_TICK)
        changed = {player.entity: player for player in map(_read_slot, described["players"])}
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedRecordingError(f"who has a slot is not described: {error!r}") from None
    if any(entity >= len(roster) for entity in changed):
        raise DamagedRecordingError("a slot that is not in the match is given to somebody")
    return tick, tuple(changed.get(player.entity, player) for player in roster)


def card_changes(described: dict[str, Any], card: ModeCard) -> list[str]:
    """What of a card is another now than in a match section, by its names; none where it does not say."""
    recorded = described.get("card")
    if not isinstance(recorded, dict):
        return []
    return [name for name, value in played_by(card).items() if name in recorded and recorded[name] != value]


def _hash_of(file: Path) -> str:
    """A hash of a file; "" where it cannot be read."""
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


def _card_named(name: str) -> ModeCard:
    cards = cards_in_force(settings().modes)
    if name not in cards:
        raise UnknownModeRecordedError(
            f"the match cannot be played: {name!r:.40} {unknown_mode(name, cards)}"
        )
    return cards[name]


def _slot(player: RosterPlayer) -> list[Any]:
    return [player.player_id, player.team, player.entity, player.name]


def _read_slot(slot: Any) -> RosterPlayer:
    player_id, team, entity, *rest = slot
    name = rest[0] if rest else ""  # earlier recordings have no names
    if not isinstance(name, str) or len(name) > MAX_NAME_BYTES:
        raise ValueError(f"{name!r:.40} is not a name")
    return RosterPlayer(
        _integer(player_id, 0, 2**63 - 1), _integer(team, 0, 2**31 - 1), _integer(entity, 0, 2**16), name
    )


def _plain(value: Any) -> Any:
    """A value of a card as JSON gives it back."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    if hasattr(value, "items"):
        return {str(key): _plain(one) for key, one in value.items()}
    return value


def _integer(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{value!r} is not a number from {least} to {most}")
    return value


def _number(value: Any, most: float) -> float:
    number = float(value)
    if not math.isfinite(number) or not 0.0 <= number <= most:
        raise ValueError(f"{value!r} is not a number from 0 to {most}")
    return number
