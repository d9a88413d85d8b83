"""Read a record's bytes into an event that can be trusted, or raise one named error."""

from __future__ import annotations

from typing import Any, Protocol

from google.protobuf.message import DecodeError

from rewards.errors import BadEventError
from rewards.events import events_pb2 as pb
from rewards.events import topics
from rewards.events.checks import MAX_TEXT, check_text, checks_of
from rewards.events.ids import ID_BYTES
from rewards.events.newer import SCHEMA_VERSION, knows_words, newer_part, words_of_kinds

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
    checks = checks_of(envelope_type.DESCRIPTOR)

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
        checks[kind](envelope, getattr(envelope, kind))
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
        check_text("region", region)
        check_text("producer", producer)
