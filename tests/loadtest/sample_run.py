"""A sample of a run: figures like those of a tour, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from loadtest.flood.ledger import balance
from loadtest.flood.outcome import GeneratorHealth, RunOutcome
from loadtest.flood.watching.counters import BackendCounters
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import PlayerRecords, PlayerState, Wait
from loadtest.scenario.population import draw_population
from loadtest.scenario.reader import SHIPPED, load_scenario

REGIONS = ("east-us", "west-europe")
MATCHES = ("0193a1c2-0000-7000-8000-000000000001", "0193a1c2-0000-7000-8000-000000000002")


def sample_report(number: int, at_s: float) -> dict[str, Any]:
    return {
        "match_id": MATCHES[number],
        "region": REGIONS[number],
        "phase": "waiting" if at_s < 10 else "playing" if at_s < 56 else "over",
        "tick": int(60 * max(0, min(at_s, 56) - 10)),
        "missed_ticks": 3,
        "tick_us": {"p50": 740 + 60 * number + at_s, "p99": 1_200 + 150 * number + 5 * at_s, "max": 4_100},
        "stages_us": {
            "drain": {"p50": 109},
            "open": {"p50": 15},
            "acknowledge": {"p50": 10},
            "simulate": {"p50": 14},
            "interest": {"p50": 6},
            "encode": {"p50": 27 + 20 * number},
            "seal": {"p50": 8},
            "send": {"p50": 510},
        },
        "players_connected": 100,
        "players_alive": max(1, int(100 - 2 * max(0, at_s - 15))),
        "players_lost": 0,
        "kills": 90,
        "deaths": 99,
        "shots": 8_000,
        "hits": 700,
        "kbit_per_client": {"p50": 24 + at_s / 3, "max": 60},
    }


def sample_counters(**changes: int) -> BackendCounters:
    """Balanced counters of 200 players, 2 matches, 180 kills; ``changes`` plants differences, by the names of
    the entries.
    """

    def service(**entries: int) -> dict[str, int]:
        return {name: changes.get(name, value) for name, value in entries.items()}

    return BackendCounters(
        matchmaker=service(queued=200, matched=200, cancelled=0, expired=0, failed=0, searching=0, matches=2)
        | service(requeued=0, reclaimed=0, abandoned=0, backdated=0),
        fleet=service(matches_started=2, matches_ended=2, matches_failed=0, matches_taken_back=0, kills=180)
        | service(matches_failed_given_up=0),
        meta=service(checkouts=200, commits=200, closed=0, open=0, writebehind_depth=0),
        rewards=service(kills_applied=180, lag=0, gaps=0, missing_records=0, unknown_gaps=0)
        | service(analytics_gaps=0, analytics_missing_records=0, analytics_unknown_gaps=0),
    )


def sample_outcome(*, saturated: bool = False, interrupted: str = "", **changes: int) -> RunOutcome:
    scenario = load_scenario(SHIPPED / "tour.yaml")
    population = draw_population(scenario)
    rng = np.random.default_rng(5)
    records = PlayerRecords(population.arrives_s)
    timeline = Timeline()
    region = rng.permutation(np.repeat([0, 1], 100))
    records.region = [REGIONS[at] for at in region]
    records.match_id = [MATCHES[at] for at in region]
    records.arrived_s[:] = population.arrives_s + 0.001
    records.queued_s[:] = population.arrives_s + 0.02
    records.assigned_s[:] = 8.4 + 0.3 * region
    for bot in range(200):
        since_s, until_s = records.intended_s[bot], records.assigned_s[bot]
        records.record_wait(Wait(bot, since_s, until_s, records.region[bot], records.match_id[bot]))
    records.tickets_opened[:] = 1
    records.connected_s[:] = records.assigned_s + 0.2
    records.died_s[:] = 15 + 40 * rng.random(200)
    records.rtt_ms[:] = 22 + 12 * rng.gamma(2, 1, 200)
    records.received_kbit_s[:] = rng.normal(38, 6, 200).clip(5)
    records.sent_kbit_s[:] = rng.normal(21, 1, 200)
    for at_s in np.arange(0.0, 62.0):
        records.state[:] = np.select(
            [
                at_s > records.died_s,
                at_s > records.connected_s,
                at_s > records.assigned_s,
                at_s > records.queued_s,
            ],
            [PlayerState.DONE, PlayerState.PLAYING, PlayerState.CONNECTING, PlayerState.QUEUED],
            PlayerState.AWAY,
        )
        servers = [
            {
                "name": f"{REGIONS[number]}-{number}",
                "region": REGIONS[number],
                "report": sample_report(number, float(at_s)),
            }
            for number in (0, 1)
        ]
        timeline.sample(
            float(at_s),
            records,
            sample_counters(searching=int((records.state == PlayerState.QUEUED).sum())),
            servers,
        )
    return RunOutcome(
        scenario=scenario,
        run_id="a1b2c3",
        started_at=1_795_435_200.0,
        wall_s=64.2,
        records=records,
        timeline=timeline,
        ledger=balance(
            sample_counters(**changes), tickets_opened=200, kill_events=changes.get("kill_events", 180)
        ),
        reports=[sample_report(number, 58.0) for number in (0, 1)],
        generator=GeneratorHealth(
            step_late_us={"p50": 160.0, "p99": 30_000.0 if saturated else 1_400.0, "max": 31_000.0},
            steps_missed_share=0.0004,
            arrival_late_ms={"p50": 0.9, "p99": 3.8, "max": 9.0},
            datagrams_overflowed=0,
            cpu_cores=0.31,
        ),
        settled_s=1.4,
        interrupted=interrupted,
    )
