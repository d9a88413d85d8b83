"""The simulator against what queueing theory knows: Erlang's two formulas, Little's law, and how long a lobby fills.

Each check simulates under several seeds and asks whether the exact value lies in the 95 % interval of their mean (Student's t). Waits
are corrected for the matching cycle, which ends them half a period late on average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from loadtest.simulate.durations import EXPONENTIAL
from loadtest.simulate.laboratory import queueing_model
from loadtest.simulate.policy import FixedBuffer
from loadtest.simulate.simulator import Run, simulate
from loadtest.simulate.world import Counter, TicketState

WARM_UP = 0.1  # share of the arrivals that find an emptier world than later ones, and are not counted

# 97.5 % points of Student's t by degrees of freedom (Abramowitz and Stegun, table 26.10); between them the larger is used.
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


def erlang_b(servers: int, load: float) -> float:
    """Share of arrivals that find all servers taken, if nobody waits; ``load`` in Erlang."""
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """Share of arrivals that must wait, if everybody does; ``load`` in Erlang, less than ``servers``."""
    blocked = erlang_b(servers, load)
    return blocked / (1.0 - load / servers * (1.0 - blocked))


def student_t(freedom: int) -> float:
    """The 97.5 % point of Student's t; of the next smaller number of degrees of freedom in the table."""
    return STUDENT_T[max(known for known in STUDENT_T if known <= freedom)]


@dataclass(frozen=True, slots=True)
class TheoryCheck:
    """One exact value against simulations.

    Attributes:
        exact: what theory says.
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
        """Whether the exact value lies in the interval."""
        return abs(self.simulated - self.exact) <= self.half_width

    def as_json(self) -> dict[str, Any]:
        """The check as JSON."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        } | {"holds": self.holds}


def check_interval(name: str, exact: float, values: Sequence[float]) -> TheoryCheck:
    """The check of an exact value against one simulated value a seed."""
    array = np.asarray(values, np.float64)
    half_width = student_t(len(array) - 1) * float(array.std(ddof=1)) / math.sqrt(len(array))
    return TheoryCheck(name, exact, float(array.mean()), half_width, len(array))


def blocking(servers: int, load: float, seeds: Sequence[int], arrivals: int) -> TheoryCheck:
    """Erlang B: a fleet of fixed size, players who leave when their first cycle finds no server."""

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
    """Erlang C: a fleet of fixed size at ``share`` of its load; who waits, how long, and Little's law for both queue and servers."""
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
    """The mean wait in a lobby that is filled by a Poisson stream: (n − 1) / 2λ."""
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
    """A buffer whose servers are replaced as they are taken, start-ups memoryless: who waits, by Erlang C.

    A place in the buffer is busy from the moment its server is taken until the next is ready, and a match without a server starts none:
    the places are the servers of an M/M/c queue, and the start-up is the service.
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
    """What a test has time for."""
    numbers = range(1, seeds + 1)
    return [
        blocking(4, 3.0, numbers, 4_000),
        *waiting(4, 0.7, numbers, 4_000),
        lobby(10, 2.0, numbers, 4_000),
    ]


def long_checks(
    seeds: int = 20, arrivals: int = 40_000, on_progress: Callable[[str], None] = lambda _: None
) -> list[TheoryCheck]:
    """All of them, with as many arrivals as a narrow interval needs."""
    numbers = range(1, seeds + 1)
    stages: list[tuple[str, Callable[[], list[TheoryCheck]]]] = [
        ("Erlang B", lambda: [blocking(4, 3.0, numbers, arrivals)]),
        ("Erlang B", lambda: [blocking(20, 18.0, numbers, arrivals)]),
        ("Erlang B", lambda: [blocking(100, 95.0, numbers, arrivals)]),
        ("Erlang C", lambda: waiting(4, 0.7, numbers, arrivals)),
        ("Erlang C", lambda: waiting(20, 0.9, numbers, arrivals)),
        ("Erlang C", lambda: waiting(100, 0.95, numbers, 2 * arrivals)),
        ("lobbies", lambda: [lobby(n, rate, numbers, arrivals) for n, rate in ((2, 0.5), (10, 2.0), (100, 20.0))]),
        ("warm buffers", lambda: [warm_buffer(n, 0.5, s, numbers, arrivals) for n, s in ((2, 2.0), (20, 34.0))]),
    ]  # fmt: skip
    checks = []
    for name, stage in stages:
        on_progress(name)
        checks += stage()
    return checks


def _late(arrivals: int) -> slice:
    return slice(int(arrivals * WARM_UP), arrivals)


def _little(run: Run) -> tuple[float, float]:
    """L / λW of those who wait and of the servers that are taken: time averages of the samples against sums over players and matches.

    Two ways of counting that share nothing: what the samples saw now and then, and what each player and match was told. A sample is
    taken before its cycle's matches, on whose instants waits end and matches begin: so it sees each wait half a period longer than it
    was, and each match half a period shorter.
    """
    world, terms = run.world, run.setup.parameters
    count = int(world.counters[Counter.SAMPLES]) - 1  # the last is off the grid
    step_s = terms.sample_s * int(world.counters[Counter.SAMPLE_EVERY])
    matches = int(world.counters[Counter.MATCHES])
    waits_s = (world.records.assigned_s - world.tickets.arrives_s)[world.records.state == TicketState.MATCHED]
    taken_s = world.matches.ends_s[:matches] - world.matches.formed_s[:matches]
    queue_s = float(world.samples.waiting[:count].sum()) * step_s
    servers_s = float(world.samples.allocated[:count].sum()) * step_s
    return (
        queue_s / float((waits_s + terms.period_s / 2).sum()),
        servers_s / float((taken_s - terms.period_s / 2).sum()),
    )
