"""``double_load``: each kind of request at twice what the service can do, and logins while others guess
passwords.

The capacity of a kind is the highest open rate at which 99 of 100 requests are answered within 250 ms. A
closed loop would measure less: the matchmaker's work is batched, and a few callers see half of what it can
do. Goodput is what is answered well within a second, divided by the capacity, measured in the same process
just before.

With S for the processor time of an answer and R for that of a refusal, no service can do better at twice
its capacity than (S − 2R) ÷ (S − R): that stands beside each goodput, so that a machine where it cannot be
reached says so.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from launchday.terminal import Terminal
from loadtest.bench.harness.statistics import percentiles
from loadtest.bench.options import Options
from loadtest.bench.resilience.double_load.load_kinds import (
    KINDS,
    READ,
    TICKET,
    Kind,
    MakeRequests,
    login,
    message,
    meta_requests,
    named,
    ticket_requests,
)
from loadtest.bench.resilience.double_load.open_generator import Answers, Generator, poisson, quantile_s
from loadtest.bench.resilience.double_load.pinned_service import Pinned, can_limit, pinned
from loadtest.bench.resilience.harness import Limit

WELL_S = 0.25  # the 99th percentile that a capacity keeps, and what counts as well afterwards
GOOD_S = 1.0  # after which an answer is of no use
DOUBLE_S = 15.0
AFTER_S = 4.0  # at half of the capacity
WINDOW_S = 0.25
WELL_SHARE = 0.98
REFUSED_AT_ONCE = 64
REFUSED_S = 2.0
STEPS_UP = (1.5, 1.25)  # factors by which a rate grows until it is too much
PRECISION = 0.06
MAX_TRIES = 9
CHANCES = 2  # that a rate has to be answered well
LATE_S = 0.02  # a generator that is later says nothing about the service
OTHERS_CORES = 0.25
TICKET_CORES = 0.5  # the generator cannot offer twice of what a whole core takes

GUESSES = "login_under_guesses"
GUESSERS = 1000
GUESSING_ADDRESSES = 20
LOGINS_PER_S = 8.0
GUESS_S = 20.0

META = "meta_service"
MATCHMAKER = "matchmaker"
NAMES = (*(kind.name for kind in KINDS), GUESSES)

LIMITS: tuple[Limit, ...] = (
    *(Limit(f"{kind.name}.goodput", at_least=kind.least_goodput) for kind in KINDS),
    *(Limit(f"{kind.name}.p99_s", at_most=0.5) for kind in KINDS),
    *(Limit(f"{kind.name}.drained_s", at_most=1.0) for kind in KINDS),
    *(Limit(f"{kind.name}.refusal_us", at_most=50.0) for kind in KINDS),
    Limit("goodput", at_least=0.9),
    Limit("drained_s", at_most=1.0),
    Limit(f"{GUESSES}.answered", at_least=0.95),
    Limit(f"{GUESSES}.p99_s", at_most=1.5),
)


def run(options: Options) -> dict[str, Any]:
    """Measure every kind; ``options.only`` names some, ``options.seconds`` how long twice the load lasts.

    Raises BenchError where a process does not start.
    """
    chosen = options.chosen(NAMES)
    rng = np.random.default_rng(options.seed)
    double_s = options.seconds or DOUBLE_S
    console = Terminal(stderr=True)
    figures: dict[str, Any] = {}
    at_meta = [kind for kind in KINDS if kind is not TICKET and kind.name in chosen]
    if at_meta or GUESSES in chosen:
        # By hand: what the loopback sends is exempt from a login's limit, and these players ask too often.
        with pinned(META, {"requests_per_player_s": 0.0}) as running:
            make = meta_requests(running)
            for kind in at_meta:
                figures[kind.name] = _measured(kind, running, make[kind.name], double_s, rng)
                _tell(console, kind.name, figures[kind.name])
            if GUESSES in chosen:
                figures[GUESSES] = _logins_under_guesses(running, rng)
                _tell(console, GUESSES, figures[GUESSES])
    if TICKET.name in chosen:
        quota = TICKET_CORES if can_limit() else 0.0
        with pinned(
            MATCHMAKER,
            # Nobody looks at these tickets: to end them all half a minute later is no load of players.
            {"regions": "west-europe,east-us,japan-east,brazil-south", "ticket_liveness_s": 600.0},
            store=False,
            stub="loadtest.bench.matchmaker.stub_services",
            quota=quota,
        ) as running:
            make = ticket_requests(running)
            found = _measured(TICKET, running, make[TICKET.name], double_s, rng)
        if not quota:
            found["void"] = "cgroups cannot be written here: twice a whole core of tickets cannot be offered"
        figures[TICKET.name] = found | {"cores": quota or 1.0}
    return _summed_up(figures)


def _tell(console: Terminal, name: str, found: dict[str, Any]) -> None:
    """Print what was found, as it takes minutes until all is."""
    console.print(f"{name}: {found}")


def _summed_up(figures: dict[str, Any]) -> dict[str, Any]:
    kinds = {name: found for name, found in figures.items() if name != GUESSES}
    judged = [found["goodput"] for name, found in kinds.items() if name not in ("purchase", "ticket")]
    top: dict[str, Any] = {}
    if judged:
        top["goodput"] = min(judged)
    if kinds:
        top["drained_s"] = max(found["drained_s"] for found in kinds.values())
    void = [f"{name}: {found['void']}" for name, found in figures.items() if found.get("void")]
    return top | ({"void": "; ".join(void)} if void else {}) | figures


def _measured(
    kind: Kind, running: Pinned, make: MakeRequests, double_s: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Measure one kind: its capacity, twice that, and half of it afterwards."""
    generator = Generator("127.0.0.1", running.port, spin=running.spin)
    gc.collect()
    gc.disable()  # a collection in the generator would be told as the service's
    try:
        capacity, answer_us = _capacity(kind, running, generator, make, rng)
        refusal_us = _refusal_us(running)
        due_s = np.concatenate(
            [
                poisson(2 * capacity, double_s, rng),
                double_s + poisson(capacity / 2, max(AFTER_S, 40.0 / capacity), rng),
            ]
        )
        requests = make(len(due_s))
        others_s, began = running.others_cpu_s(), time.perf_counter()
        answers = generator.run(due_s, requests)
        lasted_s = time.perf_counter() - began
        others = (running.others_cpu_s() - others_s) / lasted_s
    finally:
        gc.enable()
        generator.close()
    doubled = answers.due_s < double_s
    good = answers.good(GOOD_S) & doubled
    refused = (answers.status == 503) & doubled
    found = {
        "capacity_per_s": round(capacity, 1),
        "goodput": round(float(np.count_nonzero(good)) / double_s / capacity, 3),
        "goodput_by_arithmetic": _by_arithmetic(answer_us, refusal_us),
        "p99_s": quantile_s(answers.latency_s[(answers.status // 100 == 2) & doubled], 99),
        "p50_s": quantile_s(answers.latency_s[(answers.status // 100 == 2) & doubled], 50),
        "drained_s": _drained_s(answers, double_s),
        "refused": int(np.count_nonzero(refused)),
        "refused_s": percentiles(answers.latency_s[refused], 50, 99, digits=3),
        "given_up": int(np.count_nonzero((answers.status <= 0) & doubled)),
        "statuses": {
            str(code): int(np.count_nonzero(answers.status[doubled] == code))
            for code in np.unique(answers.status[doubled])
        },
        "answer_us": round(answer_us, 1),
        "refusal_us": round(refusal_us, 1),
        "connections": answers.opened,
        "generator_late_s": round(answers.late_s, 4),
        "others_cores": round(others, 3),
    }
    if answers.late_s > LATE_S:
        found["void"] = f"the generator was {answers.late_s:.3f} s late"
    elif others > OTHERS_CORES:
        found["void"] = f"others used {others:.2f} cores"
    return found


def _capacity(
    kind: Kind, running: Pinned, generator: Generator, make: MakeRequests, rng: np.random.Generator
) -> tuple[float, float]:
    """Find the highest rate that is answered well; return it, and the processor time of an answer there.

    A rate is too much when it was so twice: a hiccup of the machine would else end the search too low, and
    flatter the goodput.
    """
    best, best_us, too_much = 0.0, 0.0, float("inf")
    rate = kind.first_rate
    ups = itertools.chain(STEPS_UP[:1] * 2, itertools.repeat(STEPS_UP[1]))
    _try(running, generator, make, rate / 2, 1.0, rng)  # connections, caches
    for _ in range(MAX_TRIES):
        for _ in range(CHANCES):
            well, answer_us = _try(running, generator, make, rate, kind.seconds, rng)
            if well:
                break
        if well and rate > best:
            best, best_us = rate, answer_us
        elif not well:
            too_much = min(too_much, rate)
        if best and too_much / best < 1.0 + PRECISION:
            break
        if too_much == float("inf"):
            rate *= next(ups)
        else:
            rate = (best * too_much) ** 0.5 if best else rate / 1.5
    return best or rate, best_us or 1.0


def _try(
    running: Pinned,
    generator: Generator,
    make: MakeRequests,
    rate: float,
    seconds: float,
    rng: np.random.Generator,
) -> tuple[bool, float]:
    due_s = poisson(rate, seconds, rng)
    requests = make(len(due_s))
    before_s = running.service_cpu_s()
    answers = generator.run(due_s, requests)
    used_s = running.service_cpu_s() - before_s
    answered = max(1, int(np.count_nonzero(answers.status // 100 == 2)))
    share = float(np.count_nonzero(answers.good(WELL_S))) / max(1, len(due_s))
    return share >= 0.99, used_s / answered * 1e6


def _refusal_us(running: Pinned) -> float:
    """Measure the processor time of a refusal in a service that does nothing else, as fast as it can: of
    requests whose time is over when they come.
    """
    late = message("GET /v1/profile").replace(b"timeout-ms: 5000", b"timeout-ms: 0")
    generator = Generator("127.0.0.1", running.port, spin=running.spin)
    try:
        for _ in range(REFUSED_AT_ONCE):
            generator.add_background("127.0.0.1", lambda: late)
        before_s = running.service_cpu_s()
        answers = generator.run(np.linspace(0.0, REFUSED_S, 50), [late])
        used_s = running.service_cpu_s() - before_s
    finally:
        generator.close()
    return used_s / max(1, answers.background.get(503, 0) + 50) * 1e6


def _by_arithmetic(answer_us: float, refusal_us: float) -> float:
    if answer_us <= refusal_us:
        return 0.0
    return round(max(0.0, (answer_us - 2 * refusal_us) / (answer_us - refusal_us)), 3)


def _drained_s(answers: Answers, end_s: float) -> float:
    """How long after the load's end requests were not answered well: until the end of the last bad window."""
    well = answers.good(WELL_S)
    drained_s = 0.0
    last_s = float(answers.due_s[-1])
    count = int(np.count_nonzero(answers.due_s >= end_s))
    window_s = max(WINDOW_S, 10.0 * (last_s - end_s) / max(1, count))  # ten requests at least
    for start_s in np.arange(end_s, last_s, window_s):
        within = (answers.due_s >= start_s) & (answers.due_s < start_s + window_s)
        if within.any() and well[within].mean() < WELL_SHARE:
            drained_s = start_s + window_s - end_s
    return round(float(drained_s), 2)


def _logins_under_guesses(running: Pinned, rng: np.random.Generator) -> dict[str, Any]:
    """Measure logins of players with addresses of their own, while 1,000 connections from 20 addresses guess
    passwords as fast as they are answered.

    Half of the guesses are for the players' own names, half for names that nobody has.
    """
    made_up = itertools.count()

    def guesser(number: int) -> Callable[[], bytes]:
        def guess() -> bytes:
            name = named(number) if number % 2 else f"nobody.{next(made_up)}"
            return login(name, "a wrong guess", "connection: keep-alive")

        return guess

    generator = Generator(
        "127.0.0.1", running.port, spin=running.spin, source=lambda n: f"127.1.{n // 250 % 250}.{n % 250 + 1}"
    )
    for number in range(GUESSERS):
        generator.add_background(f"127.0.1.{number % GUESSING_ADDRESSES + 1}", guesser(number))
    due_s = poisson(LOGINS_PER_S, GUESS_S, rng)
    before_s, others_s = running.service_cpu_s(), running.others_cpu_s()
    try:
        answers = generator.run(due_s, [login(named(number)) for number in range(len(due_s))], fresh=True)
    finally:
        generator.close()
    let_in = answers.status == 200
    found = {
        "logins": len(due_s),
        "answered": round(float(let_in.mean()), 3),
        "p50_s": quantile_s(answers.latency_s[let_in], 50),
        "p99_s": quantile_s(answers.latency_s[let_in], 99),
        "statuses": {
            str(code): int(np.count_nonzero(answers.status == code)) for code in np.unique(answers.status)
        },
        "guesses": {str(code): count for code, count in sorted(answers.background.items())},
        "service_cores": round((running.service_cpu_s() - before_s) / GUESS_S, 2),
        "generator_late_s": round(answers.late_s, 4),
        "others_cores": round((running.others_cpu_s() - others_s) / GUESS_S, 3),
    }
    if answers.late_s > LATE_S:
        found["void"] = f"the generator was {answers.late_s:.3f} s late"
    return found


__all__ = ["LIMITS", "READ", "run"]
