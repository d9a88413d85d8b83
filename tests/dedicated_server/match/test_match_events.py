"""What the records of a match become for others: who came and went, who helped, what the mode says."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dedicated_server.cards import CardError, shipped_cards
from dedicated_server.match.events import MatchEvents
from dedicated_server.match.mode_events import MatchNames, ModeEvent, check_events
from dedicated_server.match.spec import MatchSpec, RosterEntry
from dedicated_server.simulation.event_buffer import (
    KILL,
    MATCH_ENDED,
    MATCH_STARTED,
    MODE_EVENT,
    PLAYER_CONNECTED,
    PLAYER_LEFT,
    PLAYER_TIMED_OUT,
)
from dedicated_server.simulation.world import EVENT_DTYPE, NOBODY
from rewards.events import Envelope, EventIds, Source, event_kinds, parse_envelope
from rewards.events import events_pb2 as pb
from rewards.events.kinds import KINDS

NOW_S = 1_795_000_000.0
HZ = 60
FLAGS = shipped_cards()["capture_the_flag"]
SPEC = MatchSpec(
    match_id=uuid.UUID(int=5),
    mode="capture_the_flag",
    region="west-europe",
    seed=1,
    match_s=60.0,
    players=tuple(RosterEntry(player_id=11 + each, team=each % 2, entity=each) for each in range(4)),
    allocated_at=NOW_S - 30,
)


class Told:
    """Keeps what is emitted."""

    def __init__(self) -> None:
        self.events: list[Envelope] = []

    def emit(self, envelope: Envelope) -> bool:
        self.events.append(envelope)
        return True


class Table:
    """A match's events, record by record; tick 600 is now."""

    def __init__(self, *, card: Any = FLAGS, kicked: tuple[int, ...] = ()) -> None:
        self.told = Told()
        source = Source("server-1", SPEC.region, SPEC.match_id, ids=EventIds.of("unused"))
        self.events = MatchEvents(
            SPEC,
            source,
            self.told,
            card=card,
            tick_hz=HZ,
            has_left=lambda entity: False,
            was_kicked=lambda entity: entity in kicked,
        )

    async def say(self, *records: Mapping[str, float]) -> None:
        rows = np.zeros(len(records), EVENT_DTYPE)
        for row, record in zip(rows, records, strict=True):
            row["actor"] = row["victim"] = row["weapon"] = row["assist"] = NOBODY
            for name, value in record.items():
                row[name] = value
        await self.events.emit_records(rows, now_s=NOW_S, tick=600)

    def end(self) -> None:
        self.events.emit_goings(now_s=NOW_S, tick=600)

    def connections(self) -> list[tuple[str, int, int, str]]:
        """(kind, player, tick, reason) of each."""
        found = []
        for each in self.told.events:
            kind = each.WhichOneof("event") or ""
            if kind.startswith("player_"):
                event = getattr(each, kind)
                assert each.occurred_at == pytest.approx(NOW_S - (600 - each.tick) / HZ)
                found.append((kind, event.player_id, each.tick, getattr(event, "reason", "")))
        return found


def came(entity: int, tick: int) -> dict[str, int]:
    return {"kind": PLAYER_CONNECTED, "actor": entity, "tick": tick}


def left(entity: int, tick: int) -> dict[str, int]:
    return {"kind": PLAYER_LEFT, "actor": entity, "tick": tick}


def silent(entity: int, tick: int) -> dict[str, int]:
    return {"kind": PLAYER_TIMED_OUT, "actor": entity, "tick": tick}


async def test_each_player_comes_once_and_goes_once_with_the_reason() -> None:
    table = Table(kicked=(2,))
    await table.say(*(came(entity, 10 + entity) for entity in range(4)))
    await table.say({"kind": MATCH_STARTED, "tick": 20}, left(1, 100), left(2, 110), silent(3, 120))
    await table.say({"kind": MATCH_ENDED, "tick": 500}, left(0, 520))
    table.end()
    assert table.connections() == [
        *(("player_connected", 11 + entity, 10 + entity, "") for entity in range(4)),
        ("player_disconnected", 12, 100, "left"),
        ("player_disconnected", 13, 110, "kicked"),
        ("player_disconnected", 11, 500, "match_over"),
        ("player_disconnected", 14, 120, "timed_out"),
    ]
    kinds = [each.WhichOneof("event") for each in table.told.events]
    assert kinds.index("match_started") == 4
    assert all(parse_envelope(each.SerializeToString()) == each for each in table.told.events)


async def test_who_timed_out_and_comes_back_was_here_all_the_time() -> None:
    table = Table()
    await table.say(came(0, 10), silent(0, 50), came(0, 60), silent(0, 70), came(0, 80))
    table.end()
    assert table.connections() == [
        ("player_connected", 11, 10, ""),
        ("player_disconnected", 11, 600, "match_over"),
    ]


async def test_who_left_and_comes_back_is_told_no_second_time() -> None:
    table = Table()
    await table.say(came(0, 10), left(0, 50), came(0, 60), left(0, 70))
    table.end()
    assert [each[0] for each in table.connections()] == ["player_connected", "player_disconnected"]


async def test_who_never_came_does_not_go() -> None:
    table = Table()
    await table.say(silent(0, 20), left(1, 30))
    table.end()
    assert table.connections() == []


async def test_a_slot_that_is_given_away_ends_the_stay_of_who_timed_out() -> None:
    table = Table()
    await table.say(came(0, 10), silent(0, 50))
    table.events.slot_reassigned(0, 99, 2.0)
    await table.say(came(0, 300))
    table.end()
    assert table.connections() == [
        ("player_connected", 11, 10, ""),
        ("player_disconnected", 11, 50, "timed_out"),
        ("player_connected", 99, 300, ""),
        ("player_disconnected", 99, 600, "match_over"),
    ]


async def test_told_again_connections_have_the_same_ids_and_move_no_others() -> None:
    kill = {"kind": KILL, "actor": 0, "victim": 1, "weapon": 0, "tick": 90}
    once, again = Table(), Table()
    await once.say(came(0, 10), came(1, 12), kill, left(1, 100))
    await again.say(came(1, 15), kill, came(0, 95), left(1, 101))
    ids = [
        {(each.WhichOneof("event"), each.event_id) for each in table.told.events} for table in (once, again)
    ]
    assert ids[0] == ids[1]
    assert len({event_id for _, event_id in ids[0]}) == len(once.told.events) == 5


async def test_who_helped_with_a_kill_is_named() -> None:
    table = Table()
    await table.say(
        {"kind": KILL, "actor": 0, "victim": 1, "weapon": 0, "assist": 2, "tick": 90},
        {"kind": KILL, "actor": 0, "victim": 3, "weapon": 0, "tick": 91},
        {"kind": KILL, "actor": 0, "victim": 3, "tick": 92},
    )
    kills = [each.kill for each in table.told.events if each.HasField("kill")]
    assert [list(kill.assist_ids) for kill in kills] == [[13], [], []]
    assert [kill.weapon for kill in kills] == [FLAGS.weapons[0].name] * 2 + [""]


async def test_a_modes_event_is_filled_by_the_names_of_its_fields() -> None:
    table = Table()
    await table.say(
        {"kind": MODE_EVENT, "actor": 1, "tick": 240, "value": 90, "actor_x_m": 3.0, "actor_y_m": -4.0}
    )
    [made] = table.told.events
    assert made.flag_captured == pb.FlagCaptured(
        player_id=12, team=1, at=pb.Position(x_m=3.0, y_m=-4.0), carried_s=1.5
    )
    assert (made.tick, made.occurred_at) == (240, NOW_S - 6.0)
    assert parse_envelope(made.SerializeToString()) == made


async def test_an_event_of_nobody_is_not_sent_to_nobodys_partition() -> None:
    table = Table()
    await table.say({"kind": MODE_EVENT, "tick": 240, "value": 90})
    assert table.told.events == []


def test_every_sort_of_field_has_what_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedicated_server.match.mode_events.OF_EVERY_MATCH", set())
    event = ModeEvent.of("kill")
    record = {"actor": 0, "victim": 1, "weapon": 0, "distance_m": 7.0}
    record |= {f"{who}_{axis}": 2.0 for who in ("actor", "victim") for axis in ("x_m", "y_m")}
    names = MatchNames(lambda entity: 11 + entity, lambda entity: entity, ("rifle",), "any", HZ)
    at = {"x_m": 2.0, "y_m": 2.0}
    assert event.fields(record, names) == {
        "killer_id": 11,
        "victim_id": 12,
        "weapon": "rifle",
        "distance_m": 7.0,
        "killer_at": at,
        "victim_at": at,
    }


@pytest.mark.parametrize(
    ("kind", "mistakes"),
    [
        ("flag_captured", []),
        ("player_connected", ["would count twice"]),
        ("match_ended", ["would count twice"]),
        ("flag_capture", ["did you mean flag_captured?"]),
        (
            "purchase",
            ["purchase_id", "item_id", "currency", "its price, as a hook says one number", "quantity"],
        ),
        ("level_up", ["from_level", "to_level", "its xp"]),
        ("loadout_changed", ["nothing fills its skin"]),
    ],
)
def test_what_no_hook_can_say_is_refused_field_by_field(kind: str, mistakes: list[str]) -> None:
    told = ModeEvent.of(kind).mistakes
    assert len(told) == len(mistakes)
    assert all(word in line for word, line in zip(mistakes, told, strict=True))


@pytest.mark.parametrize("kind", sorted(event_kinds()))
def test_every_kind_can_be_filled_or_is_refused(kind: str) -> None:
    event = ModeEvent.of(kind)
    fields = {field.name for field in KINDS[kind].message.fields}
    assert event.mistakes or set(event.fills) <= fields


def test_cards_that_name_what_is_no_event_are_refused_all_at_once() -> None:
    check_events(shipped_cards().values())
    wrong = replace(FLAGS, events=("flag_captured", "flag_lost", "purchase"))
    with pytest.raises(CardError) as told:
        check_events([wrong, FLAGS, replace(wrong, events=("jump",))])
    lines = str(told.value).splitlines()
    assert [mistake.place for mistake in told.value.mistakes] == ["events/1", *["events/2"] * 5, "events/0"]
    assert len(lines) == 7
    assert lines[0].startswith(f"{FLAGS.folder}/card.yaml: events/1: there is no event called flag_lost")
