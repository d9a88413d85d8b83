"""Read a record's bytes into an event that can be trusted, or raise one named error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from google.protobuf.message import DecodeError

from rewards.errors import BadEventError
from rewards.events import events_pb2 as pb
from rewards.events import topics
from rewards.events.ids import ID_BYTES
from rewards.events.newer import SCHEMA_VERSION, knows_words, newer_part, words_of_kinds

MAX_ID = 2**63 - 1
MAX_TEXT = 200  # characters; the longest text that we write is a reason
MAX_XP = 10_000_000  # of one grant; no number of grants overflows a bigint
MAX_PLAYERS = 10_000  # of one match
MAX_WEAPONS = 100  # of one player's summary
MAX_DAMAGE = 1e9  # points in one match
MAX_TIME_S = 4_102_444_800.0  # the year 2100: beyond, a clock or the bytes are wrong


class ReadEvent(Protocol):
    """Reads a record's value; `read_event` is the one of this program's schema."""

    def __call__(self, data: bytes | None) -> tuple[pb.Envelope, str]:
        """Read one record's value.

        Returns:
            the envelope, and what of it is newer than the schema: "" where nothing is. What is newer is for
            a program that knows it to check and to count, and is to be kept for that one.

        Raises:
            BadEventError: the bytes are not an envelope, or a field that must be there is missing or out of
                its range.
        """


def reader_of(envelope_type: Any, version: int = SCHEMA_VERSION, *, is_whole: bool = False) -> ReadEvent:
    """Make a reader of a schema.

    Args:
        envelope_type: its class of envelopes.
        version: which `needs` of an envelope it satisfies.
        is_whole: what the sender says may be passed over is newer, too: for whoever keeps every field.
    """
    from_bytes = envelope_type.FromString
    words = words_of_kinds(envelope_type.DESCRIPTOR)

    def read(data: bytes | None) -> tuple[pb.Envelope, str]:
        if data is None:
            raise BadEventError("the record has no value")
        try:
            envelope = from_bytes(data)
        except DecodeError as error:
            raise BadEventError(f"not an envelope: {error}") from error
        _check_envelope(envelope)
        kind = envelope.WhichOneof("event")
        # Half a microsecond tells that nothing is unknown, wherever in the message it would be: what is left
        # without it is as long as all. Only where it is not, fields are looked at one by one.
        envelope.DiscardUnknownFields()
        if (
            kind is None
            or envelope.ByteSize() != len(data)
            or envelope.needs > version
            or (kind in words and not knows_words(getattr(envelope, kind), words[kind]))
        ):
            envelope = from_bytes(data)
            newer = newer_part(envelope, is_whole=is_whole, version=version)
            if newer:
                return envelope, newer
            if kind is None:
                raise BadEventError("the envelope carries no event")
        _CHECKS.get(kind, _check_player_event)(envelope, getattr(envelope, kind))
        return envelope, ""

    return read


read_event = reader_of(pb.Envelope)
"""Reads for counting: what the sender says is worth nothing does not make an event newer."""

read_whole_event = reader_of(pb.Envelope, is_whole=True)
"""Reads for keeping every field."""


def parse_envelope(data: bytes | None) -> pb.Envelope:
    """Read one record's value, as `read_event` does, and return its envelope.

    Its ``WhichOneof("event")`` is None when it carries a kind of event that is newer than this program.
    Raises BadEventError.
    """
    return read_event(data)[0]


def routing(envelope: pb.Envelope) -> tuple[topics.Topic, bytes]:
    """Return the topic and the key of an event.

    Raises BadEventError for a kind that this program does not know.
    """
    kind = envelope.WhichOneof("event")
    if kind is None:
        raise BadEventError("the envelope carries no event")
    topic, key_field = topics.ROUTING[kind]
    if key_field == topics.BY_MATCH:
        return topic, envelope.match_id
    if key_field == topics.BY_SERVER:
        return topic, envelope.producer.encode()
    return topic, b"%d" % getattr(getattr(envelope, kind), key_field)


def _check_envelope(envelope: pb.Envelope) -> None:
    event_id = envelope.event_id
    if len(event_id) != ID_BYTES or event_id[6] & 0xF0 != 0x70 or event_id[8] & 0xC0 != 0x80:
        raise BadEventError("event_id is not a UUIDv7 of 16 bytes")
    match_id = envelope.match_id
    if match_id and len(match_id) != ID_BYTES:
        raise BadEventError("match_id is neither empty nor 16 bytes")
    if not 0.0 < envelope.occurred_at < MAX_TIME_S:  # false for NaN, too
        raise BadEventError("occurred_at is not a time in Unix seconds")
    region, producer = envelope.region, envelope.producer
    if len(region) > MAX_TEXT or len(producer) > MAX_TEXT or "\0" in region or "\0" in producer:
        _check_text("region", region)
        _check_text("producer", producer)


def _check_player_event(_envelope: pb.Envelope, event: Any) -> None:
    """Check what events about one player share: the player, the texts, amounts that are not negative."""
    _check_player("player_id", event.player_id)
    for field, value in event.ListFields():
        if isinstance(value, str):
            _check_text(field.name, value)
        elif isinstance(value, float) and not 0.0 <= value <= MAX_DAMAGE:
            raise BadEventError(f"{field.name} is not between 0 and {MAX_DAMAGE:g}")
        elif field.name in ("price", "quantity") and value < 0:
            raise BadEventError(f"{field.name} is less than 0")
        elif field.name == "weapons":
            _check_weapons(value)


def _check_weapons(weapons: Sequence[Any]) -> None:
    if len(weapons) > MAX_WEAPONS:
        raise BadEventError(f"more than {MAX_WEAPONS} weapons")
    for entry in weapons:
        weapon = entry.weapon
        if len(weapon) > MAX_TEXT or "\0" in weapon:
            _check_text("weapon", weapon)
        if not 0.0 <= entry.dealt <= MAX_DAMAGE:
            raise BadEventError(f"dealt is not between 0 and {MAX_DAMAGE:g}")


def _check_connected(_envelope: pb.Envelope, event: pb.PlayerConnected) -> None:
    if event.player_id <= 0:
        _check_player("player_id", event.player_id)


def _check_disconnected(_envelope: pb.Envelope, event: pb.PlayerDisconnected) -> None:
    if event.player_id <= 0:
        _check_player("player_id", event.player_id)
    reason = event.reason
    if len(reason) > MAX_TEXT or "\0" in reason:
        _check_text("reason", reason)


def _check_damage(_envelope: pb.Envelope, event: pb.DamageSummary) -> None:
    if event.player_id <= 0:
        _check_player("player_id", event.player_id)
    if not 0.0 <= event.dealt <= MAX_DAMAGE:
        raise BadEventError(f"dealt is not between 0 and {MAX_DAMAGE:g}")
    if not 0.0 <= event.taken <= MAX_DAMAGE:
        raise BadEventError(f"taken is not between 0 and {MAX_DAMAGE:g}")
    _check_weapons(event.weapons)


def _check_kill(_envelope: pb.Envelope, event: pb.Kill) -> None:
    killer_id, victim_id, weapon = event.killer_id, event.victim_id, event.weapon
    if killer_id <= 0 or victim_id <= 0:
        _check_player("killer_id", killer_id)
        _check_player("victim_id", victim_id)
    if killer_id == victim_id:
        raise BadEventError("killer and victim are the same player")
    if not 0.0 <= event.distance_m < math.inf:
        raise BadEventError("distance_m is not a distance")
    if len(weapon) > MAX_TEXT or "\0" in weapon:
        _check_text("weapon", weapon)
    for assist_id in event.assist_ids:
        _check_player("assist_ids", assist_id)


def _check_death(_envelope: pb.Envelope, event: pb.Death) -> None:
    if event.victim_id <= 0:
        _check_player("victim_id", event.victim_id)


def _check_match_started(envelope: pb.Envelope, event: pb.MatchStarted) -> None:
    _check_match(envelope, [entry.player_id for entry in event.players])
    _check_text("mode", event.mode)
    if event.HasField("quality") and not 0.0 <= event.quality <= 1.0:
        raise BadEventError("quality is not between 0 and 1")
    for entry in event.players:
        if entry.HasField("waited_s") and not 0.0 <= entry.waited_s < math.inf:
            raise BadEventError("waited_s is not a time")


def _check_match_ended(envelope: pb.Envelope, event: pb.MatchEnded) -> None:
    _check_match(envelope, [entry.player_id for entry in event.placements])
    _check_text("mode", event.mode)
    if any(entry.placement < 1 for entry in event.placements):
        raise BadEventError("a placement is less than 1")


def _check_match(envelope: pb.Envelope, player_ids: list[int]) -> None:
    if not envelope.match_id:
        raise BadEventError("match_id is missing")
    if len(player_ids) > MAX_PLAYERS:
        raise BadEventError(f"more than {MAX_PLAYERS} players")
    if len(set(player_ids)) != len(player_ids):
        raise BadEventError("a player is named twice")
    for player_id in player_ids:
        _check_player("player_id", player_id)


def _check_xp_granted(_envelope: pb.Envelope, event: pb.XpGranted) -> None:
    _check_player("player_id", event.player_id)
    if not 0 < event.xp <= MAX_XP:
        raise BadEventError(f"xp is not between 1 and {MAX_XP}")
    _check_text("reason", event.reason)


def _check_server(_envelope: pb.Envelope, event: pb.ServerLifecycle) -> None:
    _check_text("reason", event.reason)


def _check_player(name: str, player_id: int) -> None:
    if not 0 < player_id <= MAX_ID:
        raise BadEventError(f"{name} is not a player id")


def _check_text(name: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise BadEventError(f"{name} is longer than {MAX_TEXT} characters")
    if "\0" in text:  # PostgreSQL stores no such text
        raise BadEventError(f"{name} contains a NUL")


# The kinds that a match sends by the thousand have checks that name their fields: asking the message for its
# fields costs three times as much. They call another check only for what fails it: a call costs as much as a
# field (0.1 µs), and what was saved pays for the look at what is newer.
_CHECKS: dict[str, Callable[[pb.Envelope, Any], None]] = {
    "match_started": _check_match_started,
    "match_ended": _check_match_ended,
    "kill": _check_kill,
    "death": _check_death,
    "damage_summary": _check_damage,
    "player_connected": _check_connected,
    "player_disconnected": _check_disconnected,
    "xp_granted": _check_xp_granted,
    "server_lifecycle": _check_server,
}
