from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from launchday.settings import Settings
from loadtest.scenario.faults import Pause
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate import plan as planning
from loadtest.simulate.plan import plan
from loadtest.simulate.policy import FixedBuffer
from loadtest.simulate.result import SimulationResult
from loadtest.simulate.simulator import Incident, Setup, simulate
from loadtest.simulate.theory import queueing_model
from loadtest.simulate.time_advance import advance, take_sample
from loadtest.simulate.warm_pool import count_server_seconds, fill, kill_servers, retarget
from loadtest.simulate.world import MAX_SAMPLES, Counter, MatchState, TicketState, new_world
from matchmaker.director import region_waits
from matchmaker.rules.rules import BATTLE_ROYALE, load_rules
from tests.loadtest.simulate.naive import Naive


def night(seed: int, buffer: int, *, retry_s: float, patience_s: float) -> Setup:
    """The shipped night: three regions, parties, sessions of two matches; with a fixed buffer, slow starts
    and dying servers.
    """
    scenario = load_scenario(SHIPPED / "night.yaml").model_copy(update={"seed": seed})
    setup = plan(scenario)
    tickets = setup.tickets._replace(patience_s=np.full_like(setup.tickets.patience_s, patience_s))
    return replace(
        setup,
        tickets=tickets,
        policy=FixedBuffer(buffer),
        parameters=setup.parameters._replace(
            retry_s=retry_s,
            crash_per_s=0.005,
            startup_spread=0.5,
            max_servers=4,
            give_up_at_s=1e9,
            max_starting=2,
        ),
        ready=np.full(3, buffer),
        startup_s=np.full(3, 20.0),
    )


@pytest.mark.parametrize(("retry_s", "patience_s"), [(0.0, 40.0), (0.5, 2_000.0)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_compiled_clock_does_what_a_plain_one_does(seed: int, retry_s: float, patience_s: float) -> None:
    buffer = seed - 1 or 1
    setup = night(seed, buffer, retry_s=retry_s, patience_s=patience_s)
    scenario = load_scenario(SHIPPED / "night.yaml")
    settings = planning.settings_of_mode(Settings.model_construct(), scenario.main_mode)
    naive = Naive(
        night(seed, buffer, retry_s=retry_s, patience_s=patience_s),
        load_rules(settings)[BATTLE_ROYALE],
        buffer,
    )
    naive.run()
    world = simulate(setup).world
    count = int(world.counters[Counter.MATCHES])
    assert world.records.state.tolist() == naive.state
    np.testing.assert_array_equal(world.records.assigned_s, naive.assigned)
    assert world.records.match.tolist() == naive.match
    assert world.matches.region[:count].tolist() == [match.region for match in naive.matches]
    np.testing.assert_allclose(world.matches.ends_s[:count], [match.ends_s for match in naive.matches])
    assert world.fleet.server_s.sum() == pytest.approx(naive.server_s)
    assert len(naive.matches) > 5


def test_a_seed_gives_the_same_run_and_another_seed_another() -> None:
    def digest(seed: int) -> str:
        scenario = load_scenario(SHIPPED / "smoke.yaml").model_copy(update={"seed": seed})
        return SimulationResult(simulate(plan(scenario)), 0.05).digest

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_every_ticket_comes_to_an_end_and_no_player_is_lost_from_the_counts() -> None:
    scenario = load_scenario(SHIPPED / "night.yaml")
    result = SimulationResult(simulate(plan(scenario)), 0.05)
    figures = result.figures()
    world = result.run.world
    states = np.bincount(world.records.state, minlength=len(TicketState))
    assert states[TicketState.WAITING] == 0
    came = figures["matched"] + figures["abandoned"] + figures["refused"]
    assert came == int(world.counters[Counter.ARRIVED_PLAYERS]) >= scenario.players.count
    count = int(world.counters[Counter.MATCHES])
    assert world.matches.players[:count].sum() == figures["matched"]
    assert world.queue.waiting.sum() == 0
    assert world.fleet.allocated.sum() == 0


def test_a_cut_region_loses_its_matches_and_takes_none_until_it_is_back() -> None:
    setup = queueing_model(arrivals=400, per_s=1.0, seed=3, servers=200, match_s=50.0)
    setup = replace(
        setup,
        incidents=(
            Incident(100.0, "close", 0, 0, "cut"),
            Incident(100.0, "kill", 0, 2**31, ""),
            Incident(150.0, "open", 0, 0, "back"),
        ),
    )
    world = simulate(setup).world
    count = int(world.counters[Counter.MATCHES])
    formed_s = world.matches.formed_s[:count]
    assert not ((formed_s > 100.0) & (formed_s < 150.0)).any()
    crashed = world.matches.state[:count] == MatchState.CRASHED
    assert crashed.any()
    assert (world.matches.ends_s[:count][crashed] == 100.0).all()
    assert count == 400


def test_a_killed_server_takes_the_oldest_match_with_it() -> None:
    setup = queueing_model(arrivals=100, per_s=1.0, seed=4, servers=200, match_s=1_000.0)
    world = simulate(replace(setup, incidents=(Incident(50.0, "kill", -1, 3, "killed"),))).world
    playing_then = np.flatnonzero((world.matches.formed_s <= 50.0) & (world.matches.ends_s >= 50.0))
    assert np.flatnonzero(world.matches.state == MatchState.CRASHED).tolist() == playing_then[:3].tolist()


def test_a_run_ends_at_its_duration() -> None:
    setup = queueing_model(arrivals=1_000, per_s=1.0, seed=5, servers=10)
    run = simulate(replace(setup, until_s=120.0))
    assert run.virtual_s == 120.0


def test_the_pool_fills_sheds_and_counts_as_it_is_told() -> None:
    setup = queueing_model(arrivals=3, per_s=1e-6, seed=6, servers=10, startup_s=5.0)
    world = new_world(
        setup.tickets,
        setup.modes,
        setup.parameters,
        ready=np.array([4]),
        target=np.array([4]),
        max_servers=setup.max_servers,
        startup_s=setup.startup_s,
        streams=np.arange(1, 5, dtype=np.uint64),
    )
    world.fleet.target[:] = 6
    fill(world, setup.parameters, 0.0)
    assert (world.fleet.ready[0], world.fleet.starting[0]) == (4, 2)
    world.fleet.target[:] = 1
    retarget(world, setup.parameters, 3.0)
    assert (world.fleet.ready[0], world.fleet.starting[0]) == (1, 2)
    count_server_seconds(world, 5.0)
    assert world.fleet.server_s[0] == 6 * 3.0 + 3 * 2.0
    assert not advance(world, setup.parameters, setup.rules, 5.0)
    assert (world.fleet.ready[0], world.fleet.starting[0]) == (3, 0)
    assert kill_servers(world, setup.parameters, -1, 5, 5.0) == 0  # nobody plays
    taken = int(world.counters[Counter.SAMPLES])
    take_sample(world, setup.parameters, 5.0)
    assert world.samples.ready[taken, 0] == world.fleet.ready[0]


def test_a_curve_keeps_its_ends_when_its_samples_are_thinned() -> None:
    setup = queueing_model(arrivals=5_000, per_s=1.0, seed=7, servers=300, sample_s=0.25)
    world = simulate(setup).world
    count = int(world.counters[Counter.SAMPLES])
    assert MAX_SAMPLES / 2 <= count <= MAX_SAMPLES
    assert world.counters[Counter.SAMPLE_EVERY] > 1
    steps = np.diff(world.samples.at_s[: count - 1])
    assert (steps == 0.25 * world.counters[Counter.SAMPLE_EVERY]).all()
    assert world.samples.arrived[count - 1] == 5_000


def test_the_simulated_director_waits_as_long_as_the_real_one() -> None:
    assert planning.RETRY_S == region_waits.SERVER_RETRY_S


def test_what_virtual_time_leaves_out_is_said() -> None:
    brownout = load_scenario(SHIPPED / "brownout.yaml")
    pauses = [Pause(do="pause", at_s=5.0, for_s=2.0, part=part) for part in ("director", "store")]
    stopped = brownout.model_copy(update={"faults": pauses})
    assert planning.left_out(stopped)[-1] == "faults pause of store: services are not simulated yet"
    assert [(each.at_s, each.effect) for each in planning.incidents_of(stopped)] == [
        (5.0, "pause"),
        (5.0, "note"),
        (7.0, "open"),
    ]
