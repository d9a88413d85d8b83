from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.events import (
    BadEventError,
    DeathCause,
    Envelope,
    PlayerPlacement,
    ServerState,
    WeaponDamage,
    damage_summary,
    death,
    events_pb2,
    kill,
    level_up,
    loadout_changed,
    make_event,
    match_ended,
    match_started,
    parse_envelope,
    player_connected,
    player_disconnected,
    purchase,
    routing,
    server_lifecycle,
    xp_granted,
)
from tests.rewards.examples import source_of

SOURCE = source_of(5)
NOW_S = 1_800_000_000.25

EXAMPLES = [
    match_started(SOURCE, now_s=NOW_S, tick=0, mode="battle_royale", seed=2**64 - 1, roster=[(1, 0), (2, 1)]),
    match_ended(
        SOURCE,
        now_s=NOW_S,
        tick=9,
        mode="battle_royale",
        duration_s=45.0,
        placements=[PlayerPlacement(1, 0, 1, 1, 45.0), PlayerPlacement(2, 1, 2, 0, 30.0)],
    ),
    kill(
        SOURCE,
        now_s=NOW_S,
        tick=3,
        killer_id=1,
        victim_id=2**63 - 1,
        weapon="rifle",
        distance_m=101.5,
        killer_at=(1.0, 2.0),
        victim_at=(-1.0, -2.0),
        assist_ids=[3],
    ),
    death(SOURCE, now_s=NOW_S, tick=3, victim_id=2, cause=DeathCause.ZONE, at=(0, 0), survived_s=3.0),
    xp_granted(SOURCE, now_s=NOW_S, player_id=4, xp=250, reason="compensation"),
    player_connected(SOURCE, now_s=NOW_S, tick=0, player_id=4),
    player_disconnected(SOURCE, now_s=NOW_S, tick=0, player_id=4, reason="left"),
    damage_summary(
        SOURCE, now_s=NOW_S, tick=9, player_id=4, taken=31.5, weapons=[WeaponDamage("rifle", 75.0, 20, 3)]
    ),
    level_up(SOURCE, now_s=NOW_S, player_id=4, from_level=1, to_level=3, xp=1100),
    purchase(
        SOURCE, now_s=NOW_S, player_id=4, purchase_id="p-1", item_id="skin-gold", currency="coins", price=500
    ),
    loadout_changed(SOURCE, now_s=NOW_S, player_id=4, skin="gold", version=7),
    server_lifecycle(SOURCE, now_s=NOW_S, state=ServerState.LOST, reason="no heartbeat"),
    match_started(
        SOURCE,
        now_s=NOW_S,
        tick=0,
        mode="teams_of_five",
        seed=1,
        roster=[(1, 0), (2, 1)],
        waited_s={1: 4.5},
        quality=0.75,
    ),
    make_event(
        SOURCE,
        "flag_captured",
        {"player_id": 4, "team": 1, "at": {"x_m": 1.0, "y_m": -2.0}, "carried_s": 8.5},
        now_s=NOW_S,
        tick=7,
    ),
]


def kind_of(envelope: Envelope) -> str:
    return envelope.WhichOneof("event") or ""


@pytest.mark.parametrize("envelope", EXAMPLES, ids=kind_of)
def test_what_is_built_is_parsed_as_it_was(envelope: Envelope) -> None:
    assert parse_envelope(envelope.SerializeToString()) == envelope


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_the_named_error(data: bytes) -> None:
    with contextlib.suppress(BadEventError):
        parse_envelope(data)


@given(st.sampled_from(EXAMPLES), st.data())
def test_a_damaged_event_raises_nothing_but_the_named_error(envelope: Envelope, data: st.DataObject) -> None:
    damaged = bytearray(envelope.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(1, len(damaged))) :]
    with contextlib.suppress(BadEventError):
        parse_envelope(bytes(damaged))


def _texts(message: Any) -> Iterator[tuple[Any, str]]:
    """Yield each text that a message holds, as (message, field)."""
    for field, value in message.ListFields():
        if isinstance(value, str):
            yield message, field.name
        elif field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from _texts(inner)


@pytest.mark.parametrize("envelope", EXAMPLES, ids=kind_of)
def test_a_text_that_postgresql_cannot_store_is_refused(envelope: Envelope) -> None:
    found = 0
    copy = Envelope.FromString(envelope.SerializeToString())
    for message, field in _texts(copy):
        found += 1
        text = getattr(message, field)
        setattr(message, field, f"{text}\0")
        with pytest.raises(BadEventError, match="NUL"):
            parse_envelope(copy.SerializeToString())
        setattr(message, field, text)
    assert found >= 2  # the region and the producer


def _change(index: int, change: Callable[[Envelope], object]) -> bytes:
    envelope = Envelope()
    envelope.CopyFrom(EXAMPLES[index])
    change(envelope)
    return envelope.SerializeToString()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "no value"),
        (b"", "event_id"),
        (b"\xff\xff", "not an envelope"),
        (_change(2, lambda e: setattr(e, "event_id", b"short")), "event_id"),
        (_change(2, lambda e: setattr(e, "event_id", uuid.UUID(int=1).bytes)), "event_id"),
        (_change(2, lambda e: setattr(e, "match_id", b"1")), "match_id"),
        (_change(2, lambda e: setattr(e, "occurred_at", float("nan"))), "occurred_at"),
        (_change(2, lambda e: setattr(e, "occurred_at", 1e300)), "occurred_at"),
        (_change(2, lambda e: setattr(e, "producer", "x" * 201)), "producer"),
        (_change(2, lambda e: e.ClearField("kill")), "no event"),
        (_change(2, lambda e: setattr(e.kill, "killer_id", 0)), "killer_id"),
        (_change(2, lambda e: setattr(e.kill, "victim_id", -1)), "victim_id"),
        (_change(2, lambda e: setattr(e.kill, "victim_id", 1)), "same player"),
        (_change(2, lambda e: setattr(e.kill, "distance_m", float("inf"))), "distance_m"),
        (_change(2, lambda e: e.kill.assist_ids.append(0)), "assist_ids"),
        (_change(1, lambda e: setattr(e, "match_id", b"")), "match_id"),
        (_change(1, lambda e: e.match_ended.placements.add(player_id=1, placement=3)), "twice"),
        (_change(1, lambda e: e.match_ended.placements.add(player_id=9)), "placement"),
        (_change(4, lambda e: setattr(e.xp_granted, "xp", 0)), "xp"),
        (_change(4, lambda e: setattr(e.xp_granted, "xp", 2**62)), "xp"),
        (_change(7, lambda e: setattr(e.damage_summary, "taken", float("nan"))), "taken"),
        (_change(7, lambda e: setattr(e.damage_summary.weapons[0], "dealt", float("inf"))), "dealt"),
        (_change(8, lambda e: setattr(e.level_up, "player_id", 0)), "player_id"),
        (_change(9, lambda e: setattr(e.purchase, "price", -1)), "price"),
        (_change(9, lambda e: setattr(e.purchase, "item_id", "x" * 201)), "item_id"),
        (_change(11, lambda e: setattr(e.server_lifecycle, "reason", "x" * 201)), "reason"),
        (_change(12, lambda e: setattr(e.match_started, "quality", 1.5)), "quality"),
        (_change(12, lambda e: setattr(e.match_started.players[0], "waited_s", -1)), "waited_s"),
        (_change(13, lambda e: setattr(e, "match_id", b"")), "match_id"),
        (_change(13, lambda e: setattr(e.flag_captured, "player_id", 0)), "player_id"),
        (_change(13, lambda e: setattr(e.flag_captured, "carried_s", float("nan"))), "carried_s"),
        (_change(3, lambda e: setattr(e.death, "survived_s", float("inf"))), "survived_s"),
    ],
)
def test_an_event_that_cannot_be_true_is_refused_with_its_reason(data: bytes | None, reason: str) -> None:
    with pytest.raises(BadEventError, match=reason):
        parse_envelope(data)


def test_a_kind_from_a_newer_schema_is_let_through_without_an_event() -> None:
    envelope = Envelope()
    envelope.CopyFrom(EXAMPLES[2])
    envelope.ClearField("kill")
    newer = envelope.SerializeToString() + bytes([0xFA, 0x01, 2, 8, 1])  # field 31, two bytes

    assert parse_envelope(newer).WhichOneof("event") is None


@pytest.mark.parametrize("envelope", EXAMPLES, ids=kind_of)
def test_an_event_is_keyed_by_its_match_or_its_player(envelope: Envelope) -> None:
    topic, key = routing(envelope)

    if kind_of(envelope) == "server_lifecycle":
        assert (topic.suffix, key) == ("match", b"server-1")
    elif kind_of(envelope).startswith("match_"):
        assert (topic.suffix, key) == ("match", uuid.UUID(int=5).bytes)
    elif kind_of(envelope) == "level_up":
        assert (topic.suffix, key) == ("progress", b"4")
    else:
        expected = {"kill": 1, "death": 2}.get(kind_of(envelope), 4)
        assert (topic.suffix, key) == ("player", str(expected).encode())


def test_an_envelope_without_an_event_has_no_route() -> None:
    with pytest.raises(BadEventError, match="no event"):
        routing(events_pb2.Envelope())
