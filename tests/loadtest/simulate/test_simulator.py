from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dedicated_server.match import session
from dedicated_server.match.session import Timeouts
from dedicated_server.protocol import datagrams
from launchday.settings import Settings
from loadtest.flood.injection import faults
from loadtest.players import backend_client, journey, tickets
from loadtest.scenario.faults import Pause
from loadtest.scenario.left_out import not_in_simulation
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate import plan as planning
from loadtest.simulate.failures import outages, requeue
from loadtest.simulate.failures.outages import cut_region, kill_servers
from loadtest.simulate.plan import plan
from loadtest.simulate.policy import FixedBuffer
from loadtest.simulate.result import SimulationResult
from loadtest.simulate.room import LEAST_GROWTH, grown, new_world
from loadtest.simulate.simulator import Incident, Setup, simulate
from loadtest.simulate.theory import queueing_model
from loadtest.simulate.time_advance import REACHED, advance, spare_tickets, spare_wanted, take_sample
from loadtest.simulate.warm_pool import CONSTANT, count_server_seconds, fill, retarget
from loadtest.simulate.world import (
    MAX_SAMPLES,
    Counter,
    MatchState,
    TicketState,
    session_of,
)
from matchmaker.director import region_waits
from matchmaker.rules.modes import load_rules
from tests.loadtest.simulate.naive import Naive


def night(seed: int, buffer: int, **changes: Any) -> Setup:
    """The shipped night: three regions, parties, sessions of two matches; with a fixed buffer, slow starts
    and dying servers. ``changes``: of the parameters, but for patience_s and incidents.
    """
    scenario = load_scenario(SHIPPED / "night.yaml").model_copy(update={"seed": seed})
    setup = plan(scenario)
    patience = np.full_like(setup.tickets.patience_s, changes.pop("patience_s"))
    return replace(
        setup,
        tickets=setup.tickets._replace(patience_s=patience),
        policy=FixedBuffer(buffer),
        incidents=changes.pop("incidents", ()),
        parameters=setup.parameters._replace(
            **{
                "crash_per_s": 0.005,
                "startup_spread": 0.5,
                "max_servers": 4,
                "give_up_at_s": 1e9,
                "max_starting": 2,
                **changes,
            }
        ),
        ready=np.full(3, buffer),
        startup_s=np.full(3, 20.0),
    )


def compared(seed: int, buffer: int, **changes: Any) -> Naive:
    """Simulate a night in both ways, and assert that they are the same; the plain one."""
    scenario = load_scenario(SHIPPED / "night.yaml")
    settings = planning.settings_of_mode(Settings.model_construct(), scenario.main_mode)
    naive = Naive(night(seed, buffer, **changes), load_rules(settings)["battle_royale"], buffer)
    naive.run()
    world = simulate(night(seed, buffer, **changes)).world
    count, tickets = int(world.counters[Counter.MATCHES]), len(naive.tickets)
    assert int(world.tickets.drawn_count[0] + world.counters[Counter.REQUEUED]) == tickets
    assert world.records.state[:tickets].tolist() == [ticket.state for ticket in naive.tickets]
    assigned_s = [ticket.assigned_s for ticket in naive.tickets]
    np.testing.assert_array_equal(world.records.assigned_s[:tickets], assigned_s)
    assert world.records.match[:tickets].tolist() == [ticket.match for ticket in naive.tickets]
    assert world.tickets.size[:tickets].tolist() == [ticket.size for ticket in naive.tickets]
    queued = [at for at, ticket in enumerate(naive.tickets) if ticket.state]
    queued_s = [naive.tickets[at].queues_s for at in queued]
    np.testing.assert_allclose(world.tickets.arrives_s[queued], queued_s, rtol=1e-12)
    assert world.matches.region[:count].tolist() == [match.region for match in naive.matches]
    np.testing.assert_allclose(world.matches.ends_s[:count], [match.ends_s for match in naive.matches])
    states = [MatchState(state).name.lower() for state in world.matches.state[:count]]
    assert states == [match.state for match in naive.matches]
    assert world.counters[Counter.LOST] == naive.players_lost
    assert world.fleet.server_s.sum() == pytest.approx(naive.server_s)
    return naive


@pytest.mark.parametrize(
    ("retry_s", "openings", "patience_s"), [(0.0, False, 40.0), (0.5, False, 2_000.0), (0.5, True, 2_000.0)]
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_compiled_clock_does_what_a_plain_one_does(
    seed: int, retry_s: float, openings: bool, patience_s: float
) -> None:
    naive = compared(seed, seed - 1 or 1, retry_s=retry_s, openings=openings, patience_s=patience_s)
    assert len(naive.matches) > 5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_loses_a_match_does_what_a_plain_player_does(seed: int) -> None:
    faults = (
        Incident(40.0, "kill", -1, 1, "killed"),
        Incident(60.03, "cut", 0, 0, "cut", 16.0),
        Incident(95.0, "cut", 1, 0, "cut", 40.0),
    )
    naive = compared(
        seed, 2, retry_s=0.5, patience_s=30.0, incidents=faults, max_servers=9, crash_per_s=0.02, think_s=1.0
    )
    again = [ticket for ticket in naive.tickets if ticket.lost]
    assert {match.state for match in naive.matches} == {"over", "crashed", "deserted"}
    assert any(ticket.alone for ticket in again)
    assert max(ticket.size for ticket in again) == 2
    assert max(ticket.lost for ticket in again) > 1


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


def lobby(incidents: tuple[Incident, ...], **changes: Any) -> Setup:
    """Pairs who meet at once, each on a server of its own for 50 s, as far as the incidents let them."""
    setup = queueing_model(
        arrivals=200, per_s=1.0, seed=3, players=2, servers=200, match_s=50.0, match_shape=CONSTANT
    )
    parameters = setup.parameters._replace(give_up_at_s=1_500.0, **changes)  # the odd one waits for ever
    return replace(setup, incidents=incidents, parameters=parameters)


def test_players_of_a_killed_server_queue_again_with_their_age_and_nobody_is_lost() -> None:
    run = simulate(lobby((Incident(60.0, "kill", -1, 3, "killed"),)))
    world, again = run.world, np.arange(200, 206)
    states = world.matches.state[: world.counters[Counter.MATCHES]]
    assert np.bincount(states).tolist() == [0, 0, 100, 3]
    assert (world.counters[Counter.REQUEUED], world.counters[Counter.LOST]) == (6, 0)
    assert (world.tickets.arrives_s[again] == 60.0 + requeue.TIME_OUT_S + 0.005).all()
    # Who has lost a match is the oldest in the queue, so a player who came meanwhile waits for the next.
    aged_s = world.tickets.arrives_s[world.requeues.origin[:6]]
    np.testing.assert_array_equal(world.requeues.aged_s[:6], aged_s)
    assert (world.records.assigned_s[again] - world.tickets.arrives_s[again] < 0.5).all()
    assert session_of(world)[again].tolist() == world.requeues.origin[:6].tolist()
    assert run.skill_sums[0][200] == run.setup.skill_sum[world.requeues.origin[0]]


def test_servers_that_are_still_to_be_killed_are_killed_when_there_are_any() -> None:
    world = simulate(lobby((Incident(0.0, "kill", -1, 4, "killed"),))).world
    crashed = np.flatnonzero(world.matches.state == MatchState.CRASHED)
    assert crashed.tolist() == [0, 1, 2, 3]
    lived_s = (world.matches.ends_s - world.matches.formed_s)[crashed]
    assert ((lived_s >= outages.SEEN_S) & (lived_s <= outages.SEEN_S + outages.RETRY_S)).all()


def test_a_short_cut_is_not_noticed() -> None:
    cut, whole = (
        simulate(lobby(incidents)).world for incidents in ((Incident(60.0, "cut", 0, 0, "cut", 5.0),), ())
    )
    assert cut.counters[Counter.REQUEUED] == 0
    np.testing.assert_array_equal(cut.records.assigned_s[:200], whole.records.assigned_s)


def test_a_cut_region_keeps_its_servers_and_its_players_wait_until_they_are_let_go() -> None:
    world = simulate(lobby((Incident(60.0, "cut", 0, 0, "cut", 30.0),), place_s=1.0, join_s=1.0)).world
    count = int(world.counters[Counter.MATCHES])
    formed_s, ends_s = world.matches.formed_s[:count], world.matches.ends_s[:count]
    deserted = world.matches.state[:count] == MatchState.DESERTED
    played = deserted & (formed_s <= 58.0)
    # Whoever was assigned in the last ten seconds of the cut gets through as it ends; nobody before.
    vain = deserted & (formed_s > 58.0)
    assert (formed_s[vain] + 1.0 + requeue.ANSWER_S).max() <= 90.0
    np.testing.assert_allclose(ends_s[played] - formed_s[played], 52.0)
    np.testing.assert_allclose(ends_s[vain] - formed_s[vain], 1.0 + requeue.COME_S)
    delayed = ~deserted & (formed_s > 78.5) & (formed_s < 88.0)
    np.testing.assert_allclose(ends_s[delayed], 90.0 + 50.0)
    again = np.arange(200, 200 + int(world.counters[Counter.REQUEUED]))
    assert len(again) == 2 * deserted.sum()
    free_s = ends_s[world.records.match[world.requeues.origin[: len(again)]]]
    assert (world.records.assigned_s[again] > free_s).all()
    assert world.fleet.died.sum() == 0


def test_a_player_who_loses_four_matches_is_lost() -> None:
    world = simulate(lobby((), crash_per_s=1.0)).world  # nobody ever sees the end
    tries = np.bincount(world.requeues.lost[: world.counters[Counter.REQUEUED]])
    assert tries[:3].tolist() == [0, 200, 200]
    assert len(tries) == 4
    lost, waited = int(world.counters[Counter.LOST]), int(world.counters[Counter.ABANDONED])
    assert (lost + waited, waited < 4) == (200, True)


def test_a_full_world_grows_and_changes_nothing() -> None:
    def setup() -> Setup:
        return lobby(
            (Incident(60.0, "kill", -1, 5, ""), Incident(90.0, "cut", 0, 0, "", 40.0)), crash_per_s=0.01
        )

    exact, roomy = simulate(setup()).world, setup()
    empty = new_world(
        roomy.tickets,
        roomy.modes,
        roomy.parameters,
        ready=roomy.ready,
        target=roomy.ready,
        max_servers=roomy.max_servers,
        startup_s=roomy.startup_s,
        streams=np.arange(1, 6, dtype=np.uint64),
    )
    large = simulate(replace(roomy, tickets=grown(empty, 20_000).tickets)).world
    again = int(exact.counters[Counter.REQUEUED])
    assert again > LEAST_GROWTH  # so it grew twice
    assert len(exact.requeues.origin) < len(large.requeues.origin)
    for name in ("arrives_s", "size", "patience_s"):
        of_both = [getattr(world.tickets, name)[: 200 + again] for world in (exact, large)]
        np.testing.assert_array_equal(*of_both)
    of_both = [world.records.assigned_s[: 200 + again] for world in (exact, large)]
    np.testing.assert_array_equal(*of_both)


def test_the_simulated_clients_are_as_patient_as_the_real_ones() -> None:
    assert (datagrams.TIME_OUT_S, datagrams.ANSWER_S) == (requeue.TIME_OUT_S, requeue.ANSWER_S)
    assert Timeouts().come_s == requeue.COME_S
    assert (journey.MAX_REQUEUES, tickets.IN_MATCH_POLL_S) == (requeue.MAX_REQUEUES, requeue.POLL_S)
    assert backend_client.REQUEUE_TIMEOUT_S == requeue.FIND_S
    assert faults.RETRY_S == outages.RETRY_S
    assert session.REPORT_PERIOD_S == outages.SEEN_S


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
        streams=np.arange(1, 6, dtype=np.uint64),
    )
    world.fleet.target[:] = 6
    fill(world, setup.parameters, 0.0)
    assert (world.fleet.ready[0], world.fleet.starting[0]) == (4, 2)
    world.fleet.target[:] = 1
    retarget(world, setup.parameters, 3.0)
    assert (world.fleet.ready[0], world.fleet.starting[0]) == (1, 2)
    count_server_seconds(world, 5.0)
    assert world.fleet.server_s[0] == 6 * 3.0 + 3 * 2.0
    assert advance(world, setup.parameters, setup.rules, 5.0) == REACHED
    assert (world.fleet.ready[0], world.fleet.starting[0]) == (3, 0)
    assert kill_servers(world, setup.parameters, -1, 5, 5.0) == 0  # nobody plays
    assert spare_wanted(world) == spare_tickets(world) == 0
    cut_region(world, setup.parameters, 0, 10.0, 5.0)
    cut_region(world, setup.parameters, 0, 10.0, 12.0)  # the second begins in the first
    assert (world.fleet.cut_from_s[0], world.fleet.cut_until_s[0]) == (5.0, 22.0)
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
    assert not_in_simulation(stopped)[-1] == "faults pause of store: services are not simulated yet"
    assert [(each.at_s, each.effect) for each in planning.incidents_of(stopped)] == [
        (5.0, "pause"),
        (5.0, "note"),
        (7.0, "open"),
    ]
