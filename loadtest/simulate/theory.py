"""The simulator against queueing theory: Erlang's two formulas, Little's law, and how long a lobby takes to
fill.

Each check simulates under several seeds and asks whether the exact value lies in the 95 % interval of their
mean (Student's t). Measured waits are corrected for the matching cycle, which ends them half a period late on
average. ``queueing_model`` sets up runs of which theory knows the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dedicated_server.fleet.autoscaling.erlang import erlang_b, erlang_c
from loadtest.simulate.matching_cycle import rule_table
from loadtest.simulate.policy import FixedBuffer, Policy
from loadtest.simulate.simulator import Run, Setup, simulate
from loadtest.simulate.warm_pool import CONSTANT, EXPONENTIAL
from loadtest.simulate.world import Counter, ModeTable, Parameters, Tickets, TicketState
from matchmaker.rules.rules import Rules

WARM_UP = 0.1  # share of the arrivals, the first ones, that is not counted: they find an emptier system

# 97.5 % points of Student's t by degrees of freedom (Abramowitz and Stegun, table 26.10); between two, the
# larger is used.
STUDENT_T = {
    1: 12.706,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    7: 2.365,
    9: 2.262,
    14: 2.145,
    19: 2.093,
    29: 2.045,
    59: 2.001,
}
FOREVER_S = 1e12


def queueing_model(
    *,
    arrivals: int,
    per_s: float,
    seed: int,
    players: int = 1,
    fill_s: float = FOREVER_S,
    patience_s: float = FOREVER_S,
    servers: int = 1_000_000,
    policy: Policy | None = None,
    startup_s: float = 0.0,
    startup_shape: int = CONSTANT,
    match_s: float = 100.0,
    match_shape: int = EXPONENTIAL,
    period_s: float = 0.25,
    sample_s: float = 60.0,
) -> Setup:
    """Return the setup of one region whose players arrive one by one in a Poisson process and fill matches.

    Args:
        arrivals: players in all.
        per_s: their rate.
        seed: of arrivals and of the run.
        players: of a match.
        fill_s: after which a match that is not full may start.
        patience_s: after which a player cancels.
        servers: the limit; all of them are ready at the start, and without a ``policy`` as many are kept.
        policy: that sizes the fleet.
        startup_s, startup_shape: time that a server takes to start, and its distribution.
        match_s, match_shape: length of a match, and its distribution.
        period_s: between two matching cycles; waits end on a cycle, half a period late on average.
        sample_s: between two samples.
    """
    rng = np.random.default_rng([seed, 1])
    skill = rng.normal(16.35, 7.2, arrivals).astype(np.float32)
    rules = Rules("laboratory", players, players, fill_s, 250.0, match_s)
    policy = policy or FixedBuffer(servers)
    return Setup(
        tickets=Tickets(
            arrives_s=np.cumsum(rng.exponential(1.0 / per_s, arrivals)),
            patience_s=np.full(arrivals, patience_s, np.float32),
            skill=skill,
            size=np.ones(arrivals, np.int32),
            mode=np.zeros(arrivals, np.int8),
            group=np.zeros(arrivals, np.int32),
            platform=np.full(arrivals, -1, np.int32),
            location=np.zeros(arrivals, np.int16),
            access_ms=np.zeros(arrivals, np.float32),
            next_ticket=np.full(arrivals, -1, np.int32),
            rtt_ms=np.full((1, 1), 10.0, np.float32),
            home=np.zeros(1, np.int16),
            independent_count=np.array([arrivals]),
            drawn_count=np.array([arrivals]),
        ),
        modes=ModeTable(
            players=np.array([players]),
            min_players=np.array([players]),
            max_latency_ms=np.array([250.0]),
            match_s=np.array([match_s]),
            spread=np.array([0.0]),
            shape=np.array([match_shape]),
            planned=np.zeros(1, np.bool_),
        ),
        parameters=Parameters(
            groups=1,
            period_s=period_s,
            retry_s=0.0,
            openings=True,
            window=100_000,
            join_s=0.0,
            linger_s=0.0,
            startup_spread=0.0,
            startup_shape=startup_shape,
            think_s=0.0,
            crash_per_s=0.0,
            max_servers=servers,
            max_starting=servers,
            sample_s=sample_s,
            give_up_at_s=math.inf,
        ),
        rules=rule_table([rules]),
        policy=policy,
        regions=("here",),
        mode_names=("laboratory",),
        ready=np.array([servers]),
        max_servers=np.array([servers]),
        startup_s=np.array([startup_s]),
        skill_sum=skill.astype(np.float64),
        skill_squares=skill.astype(np.float64) ** 2,
        incidents=(),
        until_s=math.inf,
        seed=seed,
    )


def student_t(freedom: int) -> float:
    """Return the 97.5 % point of Student's t, for the next smaller number of degrees in the table."""
    return STUDENT_T[max(known for known in STUDENT_T if known <= freedom)]


@dataclass(frozen=True, slots=True)
class TheoryCheck:
    """One exact value beside simulated ones.

    Attributes:
        exact: the value of the theory.
        simulated: mean over the seeds.
        half_width: of the 95 % interval around it.
        seeds: how many.
    """

    name: str
    exact: float
    simulated: float
    half_width: float
    seeds: int

    @property
    def holds(self) -> bool:
        """Whether the exact value lies within the interval."""
        return abs(self.simulated - self.exact) <= self.half_width

    def as_json(self) -> dict[str, Any]:
        """Return the check as JSON."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        } | {"holds": self.holds}


def check_interval(name: str, exact: float, values: Sequence[float]) -> TheoryCheck:
    """Return the check of an exact value against one simulated value for each seed."""
    array = np.asarray(values, np.float64)
    half_width = student_t(len(array) - 1) * float(array.std(ddof=1)) / math.sqrt(len(array))
    return TheoryCheck(name, exact, float(array.mean()), half_width, len(array))


def blocking(servers: int, load: float, seeds: Sequence[int], arrivals: int) -> TheoryCheck:
    """Erlang B: a fleet of fixed size, and players who leave when their first cycle finds no server."""

    def blocked(seed: int) -> float:
        setup = queueing_model(
            arrivals=arrivals,
            per_s=load / 100.0,
            seed=seed,
            servers=servers,
            patience_s=0.05,
            period_s=0.05,
        )
        state = simulate(setup).world.records.state[_late(arrivals)]
        return float((state == TicketState.ABANDONED).mean())

    return check_interval(
        f"Erlang B, {servers} servers at {load:g} Erlang",
        erlang_b(servers, load),
        [blocked(seed) for seed in seeds],
    )


def waiting(servers: int, share: float, seeds: Sequence[int], arrivals: int) -> list[TheoryCheck]:
    """Erlang C and Little's law: a fleet of fixed size under ``share`` of the load that it can take.

    Four checks: the share that waits, the mean wait, and Little's law for the queue and for the servers.
    """
    load, match_s, period_s = share * servers, 100.0, 0.05
    rows: dict[str, list[float]] = {"waits": [], "wait": [], "queue": [], "taken": []}
    for seed in seeds:
        run = simulate(
            queueing_model(
                arrivals=arrivals,
                per_s=load / match_s,
                seed=seed,
                servers=servers,
                match_s=match_s,
                period_s=period_s,
            )
        )
        wait_s = (run.world.records.assigned_s - run.world.tickets.arrives_s)[_late(arrivals)]
        rows["waits"].append(float((wait_s > period_s).mean()))
        rows["wait"].append(float(wait_s.mean()) - period_s / 2)
        for name, difference in zip(("queue", "taken"), _little(run), strict=True):
            rows[name].append(difference)
    name = f"{servers} servers at {share:.0%}"
    exact = erlang_c(servers, load)
    return [
        check_interval(f"Erlang C, {name}: share that waits", exact, rows["waits"]),
        check_interval(f"Erlang C, {name}: mean wait, s", exact * match_s / (servers - load), rows["wait"]),
        check_interval(f"Little's law, {name}: L / λW of the queue", 1.0, rows["queue"]),
        check_interval(f"Little's law, {name}: L / λW of the servers", 1.0, rows["taken"]),
    ]


def lobby(players: int, per_s: float, seeds: Sequence[int], arrivals: int) -> TheoryCheck:
    """The mean wait in a lobby that a Poisson stream fills: (n − 1) / 2λ."""
    period_s = 0.05

    def mean_wait(seed: int) -> float:
        setup = queueing_model(
            arrivals=arrivals - arrivals % players,
            per_s=per_s,
            seed=seed,
            players=players,
            period_s=period_s,
            servers=100_000,
            match_s=60.0,
        )
        world = simulate(setup).world
        return float((world.records.assigned_s - world.tickets.arrives_s).mean()) - period_s / 2

    return check_interval(
        f"a lobby of {players} at {per_s:g} players/s: mean wait, s",
        (players - 1) / (2 * per_s),
        [mean_wait(seed) for seed in seeds],
    )


def warm_buffer(
    buffer: int, per_s: float, startup_s: float, seeds: Sequence[int], arrivals: int
) -> TheoryCheck:
    """Erlang C for a buffer whose servers are replaced when they are taken, with memoryless start-ups.

    A place in the buffer is busy from the moment its server is taken until the next one is ready, and a match
    without a server starts none. So the places are the servers of an M/M/c queue, and the start-up is the
    service.
    """
    period_s = 0.05

    def waits(seed: int) -> float:
        setup = queueing_model(
            arrivals=arrivals,
            per_s=per_s,
            seed=seed,
            servers=100_000,
            policy=FixedBuffer(buffer),
            startup_s=startup_s,
            startup_shape=EXPONENTIAL,
            match_s=60.0,
            period_s=period_s,
        )
        world = simulate(setup).world
        return float(
            ((world.records.assigned_s - world.tickets.arrives_s)[_late(arrivals)] > period_s).mean()
        )

    return check_interval(
        f"a buffer of {buffer}, {per_s:g} matches/s, start-up {startup_s:g} s: share that waits",
        erlang_c(buffer, per_s * startup_s),
        [waits(seed) for seed in seeds],
    )


def short_checks(seeds: int = 20) -> list[TheoryCheck]:
    """Run the checks that a test has time for."""
    numbers = range(1, seeds + 1)
    return [
        blocking(4, 3.0, numbers, 4_000),
        *waiting(4, 0.7, numbers, 4_000),
        lobby(10, 2.0, numbers, 4_000),
    ]


def long_checks(
    seeds: int = 20, arrivals: int = 40_000, on_progress: Callable[[str], None] = lambda _: None
) -> list[TheoryCheck]:
    """Run all checks, with as many arrivals as a narrow interval needs.

    ``on_progress`` is called with the name of each stage before it runs.
    """
    numbers = range(1, seeds + 1)
    stages: list[tuple[str, Callable[[], list[TheoryCheck]]]] = [
        ("Erlang B", lambda: [blocking(4, 3.0, numbers, arrivals)]),
        ("Erlang B", lambda: [blocking(20, 18.0, numbers, arrivals)]),
        ("Erlang B", lambda: [blocking(100, 95.0, numbers, arrivals)]),
        ("Erlang C", lambda: waiting(4, 0.7, numbers, arrivals)),
        ("Erlang C", lambda: waiting(20, 0.9, numbers, arrivals)),
        ("Erlang C", lambda: waiting(100, 0.95, numbers, 2 * arrivals)),
        (
            "lobbies",
            lambda: [
                lobby(players, per_s, numbers, arrivals)
                for players, per_s in ((2, 0.5), (10, 2.0), (100, 20.0))
            ],
        ),
        (
            "warm buffers",
            lambda: [
                warm_buffer(buffer, 0.5, startup_s, numbers, arrivals)
                for buffer, startup_s in ((2, 2.0), (20, 34.0))
            ],
        ),
    ]
    checks = []
    for name, stage in stages:
        on_progress(name)
        checks += stage()
    return checks


def _late(arrivals: int) -> slice:
    return slice(int(arrivals * WARM_UP), arrivals)


def _little(run: Run) -> tuple[float, float]:
    """Return L / λW of the waiting players and of the allocated servers.

    It compares two independent counts: time averages of the samples, and sums over players and matches. A
    sample is taken before the matches of its cycle, at whose instant waits end and matches begin. So it sees
    each wait half a period longer than it was, and each match half a period shorter.
    """
    world, parameters = run.world, run.setup.parameters
    count = int(world.counters[Counter.SAMPLES]) - 1  # the last is off the grid
    step_s = parameters.sample_s * int(world.counters[Counter.SAMPLE_EVERY])
    matches = int(world.counters[Counter.MATCHES])
    waits_s = (world.records.assigned_s - world.tickets.arrives_s)[world.records.state == TicketState.MATCHED]
    taken_s = world.matches.ends_s[:matches] - world.matches.formed_s[:matches]
    queue_s = float(world.samples.waiting[:count].sum()) * step_s
    servers_s = float(world.samples.allocated[:count].sum()) * step_s
    return (
        queue_s / float((waits_s + parameters.period_s / 2).sum()),
        servers_s / float((taken_s - parameters.period_s / 2).sum()),
    )
