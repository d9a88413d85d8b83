"""Clients with a valid token and a bad will: what they try gains them nothing, and is counted."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from dedicated_server.cards import shipped_cards
from dedicated_server.protocol import fields
from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.inputs import INPUT_RING
from dedicated_server.protocol.movement import movement_of
from dedicated_server.simulation import world as w
from dedicated_server.simulation.reserve import MAX_RESERVE
from tests.dedicated_server.protocol.oracle import Input, seal, write_message
from tests.dedicated_server.replication.lossy import LossyTable, Weather
from tests.dedicated_server.tick.swarm import Intent

PERFECT = Weather(delay_s=0.001, jitter_s=0.0, least_s=0.001, loss=0.0)
STEP_M = movement_of(shipped_cards()["battle_royale"]).step_m
CHEAT, HONEST = 0, 1
TICKS = 120
EAST: Intent = (127, 0, 0, 0)


def table(policy: Callable[[LossyTable, int], Intent] = lambda _table, _client: EAST) -> LossyTable:
    """Two players, 200 m apart, who run east: the cheat-to-be and an honest one, already in play."""
    laid = LossyTable(2, policy, weather=PERFECT, spawn_radius_m=200.0, match_s=600.0)
    laid.play(30)
    assert (laid.sessions["state"] == CLIENT_CONNECTED).all()
    return laid


def say(laid: LossyTable, plain: bytes) -> None:
    """Let the cheat send a message of its own making, sealed as its client would."""
    session = laid.sessions[CHEAT]
    sequence = int(session["send_sequence"])
    session["send_sequence"] = sequence + 1
    connection = struct.pack("<HH", session["own_entity"], session["connection_tag"])
    key = session["send_key"].tobytes()
    datagram = seal(int(session["cipher"]), key, 3, sequence, plain, connection=connection)
    laid.transport.deliver(datagram, ("198.51.100.1", 40_000 + CHEAT))


def inputs(laid: LossyTable, tick: int, wish: Input, count: int = 1, ack: int | None = None) -> bytes:
    newest = int(laid.sessions[CHEAT]["snapshot_tick"])
    return write_message(newest if ack is None else ack, 0, 0, tick, [wish] * count)


def ran_m(laid: LossyTable, ticks: int, cheat: Callable[[], None] = lambda: None) -> tuple[float, float]:
    """How far east the two have come after so many ticks, in each of which ``cheat`` is called."""
    body = laid.engine.match.world.body
    start = body[w.X_M].copy()
    for _ in range(ticks):
        cheat()
        laid.play(1)
    gained = body[w.X_M] - start
    return float(gained[CHEAT]), float(gained[HONEST])


def refused(laid: LossyTable) -> list[int]:
    count: list[int] = laid.engine.match.world.status[w.REFUSED_INPUTS].tolist()
    return count


@pytest.mark.parametrize("times", [2, 10, 100])
def test_inputs_faster_than_time_are_refused(times: int) -> None:
    laid = table()
    room = np.zeros(1_216, np.uint8)

    def hurry() -> None:
        for _ in range(times - 1):
            length = client_transmit(laid.state, CHEAT, laid.now_s, *EAST, 0.0, room)
            laid.transport.deliver(room[:length].tobytes(), ("198.51.100.1", 40_000 + CHEAT))

    cheated_m, honest_m = ran_m(laid, TICKS, hurry)
    assert cheated_m <= honest_m + MAX_RESERVE * STEP_M + 1e-6
    counted = min(times, INPUT_RING - MAX_RESERVE) - 1  # what leaves the ring while it waits is not
    assert refused(laid)[CHEAT] >= counted * (TICKS - MAX_RESERVE) * 0.9
    assert refused(laid)[HONEST] == 0


def test_a_lag_switch_moves_nobody_more_than_a_step_a_tick() -> None:
    laid = table()
    body = laid.engine.match.world.body
    out, address = np.zeros(1_216, np.uint8), ("198.51.100.1", 40_000 + CHEAT)
    laid.policy = lambda _table, client: EAST if client == HONEST else (0, 0, 0, 0)
    laid.play(5)
    held = []
    for _ in range(60):  # a second of inputs that are held back …
        length = client_transmit(laid.state, CHEAT, laid.now_s, *EAST, 0.0, out)
        held.append(out[:length].tobytes())
    for datagram in held:  # … and all arrive at once
        laid.transport.deliver(datagram, address)
    places_m = []
    for _ in range(20):
        places_m.append(float(body[w.X_M, CHEAT]))
        laid.play(1)
    assert max(np.diff(places_m)) <= STEP_M + 1e-9
    assert places_m[-1] - places_m[0] <= (MAX_RESERVE + 1) * STEP_M + 1e-9
    assert refused(laid)[CHEAT] >= INPUT_RING - MAX_RESERVE - 2


@pytest.mark.parametrize("held", [4, 8])
def test_inputs_sent_in_bursts_are_shown_to_others_as_an_even_run(held: int) -> None:
    laid = table()
    body, silent = laid.engine.match.world.body, laid.clients.sessions
    places_m, transmitted = [], laid.up[CHEAT].arrival_s
    laid.up[CHEAT].arrival_s = lambda now_s: (  # type: ignore[method-assign]
        transmitted(now_s) if silent[CHEAT]["input_tick"] % held == 0 else None
    )
    laid.play(300)
    for _ in range(TICKS):
        places_m.append(body[w.X_M].copy())
        laid.play(1)
    steps_m = np.diff(places_m, axis=0)[:, CHEAT]
    assert steps_m.max() <= STEP_M + 1e-9
    assert (steps_m < STEP_M / 2).sum() <= 2
    assert refused(laid)[CHEAT] == 0


@pytest.mark.parametrize("wish", [(127, 127), (-128, -128), (-128, 127)])
def test_a_wish_longer_than_full_speed_is_cut_to_it(wish: tuple[int, int]) -> None:
    laid = table(lambda _table, client: (*wish, 0, 0) if client == CHEAT else EAST)
    body = laid.engine.match.world.body
    start = body[: w.Y_M + 1, CHEAT].copy()
    laid.play(TICKS)
    moved_m = float(np.hypot(*(body[: w.Y_M + 1, CHEAT] - start)))
    assert moved_m <= (TICKS + MAX_RESERVE) * STEP_M + 1e-6


def test_shots_come_at_the_weapons_rate_however_often_the_trigger_is_pulled() -> None:
    laid = table(lambda _table, client: (127, 0, 0, fields.BUTTON_FIRE))
    room = np.zeros(1_216, np.uint8)

    def hurry() -> None:
        for _ in range(5):
            length = client_transmit(laid.state, CHEAT, laid.now_s, 0, 0, 0, fields.BUTTON_FIRE, 0.0, room)
            laid.transport.deliver(room[:length].tobytes(), ("198.51.100.1", 40_000 + CHEAT))

    status = laid.engine.match.world.status
    before = status[w.SHOTS].copy()
    ran_m(laid, TICKS, hurry)
    shots = status[w.SHOTS] - before
    interval = shipped_cards()["battle_royale"].weapons[0].interval_ticks
    assert shots[HONEST] == pytest.approx(TICKS / interval, abs=1)
    assert shots[CHEAT] <= (TICKS + MAX_RESERVE) / interval + 1


def shoot_at_the_past(laid: LossyTable, ticks_ago: float) -> tuple[bool, int]:
    """Let the cheat shoot at where the honest one was so many ticks ago, and say that it was shown that.

    Returns whether it hit, and how many claims were replaced.
    """
    engine, world = laid.engine, laid.engine.match.world
    before = world.status[[w.HITS, w.CLAMPED_REWINDS], CHEAT].copy()
    shown = engine.tick_number - ticks_ago
    east, north = laid.truth_at(shown)[:, HONEST] - world.body[: w.Y_M + 1, CHEAT]
    yaw = round(np.arctan2(north, east) / (2 * np.pi) * 65_536) & 65_535
    newest = int(laid.sessions[CHEAT]["snapshot_tick"])
    wish = Input(0, 0, yaw, fields.BUTTON_FIRE, int(shown), round(shown % 1 * 16))
    laid.sessions[CHEAT]["input_tick"] += 1
    say(laid, write_message(newest, 0, 0, int(laid.sessions[CHEAT]["input_tick"]), [wish]))
    laid.play(3)
    hits, replaced = world.status[[w.HITS, w.CLAMPED_REWINDS], CHEAT] - before
    return bool(hits), int(replaced)


def strafing() -> LossyTable:
    """A cheat-to-be who stands, on a line of 2 ms, and an honest one who runs past."""
    laid = LossyTable(2, lambda _table, client: EAST if client == HONEST else (0, 0, 0, 0), weather=PERFECT,
                      spawn_radius_m=30.0, match_s=600.0)  # fmt: skip
    laid.play(600)
    laid.policy = lambda _table, client: (0, 127, 0, 0) if client == HONEST else (0, 0, 0, 0)
    laid.play(60)
    return laid


@pytest.mark.parametrize("ticks_ago", [1.5, 2.25, 3.0])
def test_a_shot_at_what_its_line_shows_is_judged_there(ticks_ago: float) -> None:
    laid = strafing()
    laid.engine.match.world.body[w.SHOWN_VIEW, CHEAT] = 0.0  # its inputs before have named later ones
    assert shoot_at_the_past(laid, ticks_ago) == (True, 0)


@pytest.mark.parametrize("ticks_ago", [9, 10, 14, 40, 200])
def test_a_shot_at_a_past_that_its_line_does_not_explain_is_judged_at_the_measured_one(
    ticks_ago: int,
) -> None:
    assert shoot_at_the_past(strafing(), ticks_ago) == (False, 1)


def test_what_was_shown_does_not_go_back_between_two_shots() -> None:
    laid = strafing()
    assert shoot_at_the_past(laid, 1.0) == (True, 0)
    laid.engine.match.world.status[w.NEXT_SHOT, CHEAT] = 0
    assert shoot_at_the_past(laid, 5.5)[1] == 1


def test_old_acknowledgements_beside_new_ones_make_no_line_longer() -> None:
    laid = strafing()
    for _ in range(60):
        late = int(laid.sessions[CHEAT]["snapshot_tick"]) - 12
        tick = int(laid.sessions[CHEAT]["input_tick"])
        for _ in range(10):
            say(laid, write_message(late, 0, 0, tick, [Input(0, 0, 0, 0, late)]))
        laid.play(1)
    assert laid.engine.wire.state.slots["view_age_ticks"][CHEAT] <= 3.0


def test_an_acknowledgement_of_the_future_is_dropped_with_its_inputs_and_counted() -> None:
    laid = table(lambda _table, client: EAST if client == HONEST else (0, 0, 0, 0))
    wish = Input(127, 0, 0, 0, 0)
    start = int(laid.sessions[CHEAT]["input_tick"])
    laid.policy = lambda _table, client: EAST
    sent = laid.sessions["sent_datagrams"].copy()

    def lie() -> None:
        say(laid, inputs(laid, start + 1_000, wish, 16, ack=laid.engine.tick_number + 50))

    before = int(laid.engine.wire.input_newest[CHEAT])
    cheated_m, honest_m = ran_m(laid, TICKS, lie)
    assert laid.engine.wire.drops_by_reason()["future_ack"] == TICKS
    assert cheated_m == pytest.approx(honest_m, abs=2 * STEP_M)
    assert laid.engine.wire.input_newest[CHEAT] == before + (laid.sessions["sent_datagrams"] - sent)[CHEAT]


@pytest.mark.parametrize("leap", [INPUT_RING + 5, 100_000, 2**31 - 1])
def test_a_leap_of_the_input_clock_gains_nothing_but_a_stop(leap: int) -> None:
    laid = table()
    tick = min(int(laid.sessions[CHEAT]["input_tick"]) + leap, 2**31 - 1)
    say(laid, inputs(laid, tick, Input(127, 0, 0, 0, 0), 16))
    cheated_m, honest_m = ran_m(laid, TICKS)
    assert cheated_m <= honest_m + MAX_RESERVE * STEP_M + 1e-6
    assert honest_m == pytest.approx(TICKS * STEP_M, abs=3 * STEP_M)


def test_snapshots_acknowledged_but_never_received_blind_nobody_but_the_liar() -> None:
    laid = table()

    def lie() -> None:
        laid.sessions[CHEAT]["input_tick"] += 1
        say(
            laid,
            write_message(
                max(laid.engine.tick_number - 1, 1),
                0xFFFFFFFF,
                0xFFFF,
                int(laid.sessions[CHEAT]["input_tick"]),
                [Input(127, 0, 0, 0, 0)],
            ),
        )

    ran_m(laid, TICKS, lie)
    seen = laid.state.seen_tick[HONEST]
    assert (laid.engine.tick_number - seen <= 8).all()
    assert laid.sessions["state"][HONEST] == CLIENT_CONNECTED


def test_connecting_again_and_again_makes_nobody_faster() -> None:
    laid = table()
    turns = iter(range(10_000))

    def reconnect() -> None:
        if next(turns) % 6 == 5:
            laid.clients.reconnect(CHEAT)

    cheated_m, honest_m = ran_m(laid, TICKS, reconnect)
    assert cheated_m <= honest_m + MAX_RESERVE * STEP_M + 1e-6
    wire = laid.engine.wire
    assert 1 <= wire.counters_by_name()["reconnects"] <= TICKS / fields.TICK_HZ
    assert wire.drops_by_reason()["session_rate"] > 5


def test_a_flood_of_valid_datagrams_changes_nothing_for_the_others_and_takes_no_memory() -> None:
    laid = table()
    arrays = sum(array.nbytes for array in laid.engine.wire.state)
    wish = Input(127, 0, 0, fields.BUTTON_FIRE, 1)

    def flood() -> None:
        tick = int(laid.sessions[CHEAT]["input_tick"])
        for extra in range(300):
            say(laid, inputs(laid, tick + extra, wish, 16))

    cheated_m, honest_m = ran_m(laid, 60, flood)
    assert cheated_m <= honest_m + MAX_RESERVE * STEP_M + 1e-6
    assert honest_m == pytest.approx(60 * STEP_M, abs=3 * STEP_M)
    assert sum(array.nbytes for array in laid.engine.wire.state) == arrays
