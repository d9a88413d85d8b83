"""The zone of the machine decides nothing: the same file and the same seed are the same figures everywhere.

Both nights of daylight saving, once in UTC without a word and once in the zone that the scenario names, are
simulated under four values of TZ. So are the questions about events and the picture of deaths.
"""

from __future__ import annotations

import functools
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from loadtest.bench.environments.commands import launchday, unwell
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.options import Options
from loadtest.errors import BenchError

MACHINES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu")
ZONE = "Europe/Berlin"
NIGHTS = {"march": datetime(2026, 3, 28, 22, tzinfo=UTC), "october": datetime(2026, 10, 24, 22, tzinfo=UTC)}
STEP = timedelta(minutes=10)
ROWS = 6 * 6 + 1
QUESTION = """
    SELECT date_trunc('hour', occurred_at) AS hour, strftime(occurred_at, '%d %H:%M') AS shown, day, count(*)
    FROM death GROUP BY ALL ORDER BY ALL
"""


def simulated(night: str, _options: Options) -> Found:
    """Simulate a recorded curve over a night under every zone."""
    digests: dict[str, list[str]] = {}
    for kind, zone in (("utc", "UTC"), ("named", ZONE)):
        Path(f"{kind}.csv").write_text(_curve(NIGHTS[night], zone))
        Path(f"{kind}.yaml").write_text(_scenario(f"{kind}.csv", zone))
        digests[kind] = [_digest(f"{kind}.yaml", machine) for machine in MACHINES]
    figures = {"zones": list(MACHINES), "digests": digests}
    if any(len(set(found)) != 1 for found in digests.values()):
        return Found(False, "the digest depends on TZ", figures)
    if digests["utc"] != digests["named"]:
        return Found(False, f"the night in {ZONE} is not the night in UTC", figures)
    return Found(True, f"the digests of simulate under {len(MACHINES)} values of TZ are equal", figures)


def asked(_options: Options) -> Found:
    """Ask about events of a night, and draw a picture of them, under every zone."""
    _write_lake(Path("lake"))
    answers: dict[str, list[str]] = {"rows": [], "table": [], "picture": []}
    for machine in MACHINES:
        env = {"TZ": machine}
        for name, arguments in (
            ("rows", ("events", "query", QUESTION, "--folder", "lake", "--json")),
            ("table", ("events", "query", QUESTION, "--folder", "lake")),
            ("picture", ("events", "heat-map", "deaths.png", "--folder", "lake")),
        ):
            ran = launchday(*arguments, env=env)
            if (wrong := unwell(ran)) is not None:
                return Found(False, f"{arguments[1]} under TZ={machine}: {wrong}")
            said = Path("deaths.png").read_bytes() if name == "picture" else ran.out.encode()
            answers[name].append(hashlib.blake2b(said, digest_size=8).hexdigest())
            if name == "rows" and "+00:00" not in ran.out:
                return Found(False, f"the hours under TZ={machine} are not in UTC")
    figures = {"zones": list(MACHINES), "digests": answers}
    differing = [name for name, found in answers.items() if len(set(found)) != 1]
    if differing:
        return Found(False, f"{', '.join(differing)} depend on TZ", figures)
    return Found(True, f"rows, table and picture under {len(MACHINES)} values of TZ are equal", figures)


def refused(_options: Options) -> Found:
    """An hour that the zone skips, and a zone that is none, are one line each that names the file."""
    Path("skipped.csv").write_text("time,arrivals\n2026-03-29T01:50,1\n2026-03-29T02:10,1\n")
    for zone, words in ((ZONE, f"2026-03-29T02:10 does not exist in {ZONE}"), ("Europe/Berln", ZONE)):
        Path("skipped.yaml").write_text(_scenario("skipped.csv", zone))
        ran = launchday("simulate", "skipped.yaml")
        if ran.code != 2 or ran.traceback or words not in ran.err:
            return Found(False, f"zone {zone}: code {ran.code}: {ran.last_line}")
    return Found(True, "an hour that is skipped and an unknown zone are one line each")


def _curve(begins: datetime, zone: str) -> str:
    """Return six hours over the change of the clocks, as a clock on the wall there shows them."""
    local = ZoneInfo(zone)
    rows = [f"{(begins + n * STEP).astimezone(local):%Y-%m-%d %H:%M},{(5 * n) % 13 + 1}" for n in range(ROWS)]
    return "\n".join(["time,arrivals", *rows]) + "\n"


def _scenario(file: str, zone: str) -> str:
    named = "" if zone == "UTC" else f"  zone: {zone}\n"
    return (
        "name: night\nseed: 5\nplayers:\n  count: 2000\n  locations: {west-europe: 1.0}\n"
        f"arrivals:\n  curve: recorded\n  over_s: 600\n  file: {file}\n{named}"
        "modes:\n  battle_royale: {players: 20, duration_s: 60}\n"
    )


def _digest(scenario: str, machine: str) -> str:
    ran = launchday("simulate", scenario, "--json", env={"TZ": machine})
    if ran.code not in (0, 99):
        raise BenchError(f"simulate under TZ={machine} ended with code {ran.code}: {ran.last_line}")
    digest: str = json.loads(ran.out.splitlines()[-1])["digest"]
    return digest


def _write_lake(folder: Path) -> None:
    import random
    import uuid

    from rewards.analytics.lake import Lake
    from rewards.events import DeathCause, EventIds, Source, death

    source = Source("a producer", "west-europe", ids=EventIds(random.Random(1).getrandbits))
    died = [
        death(
            source,
            now_s=(NIGHTS["october"] + n * STEP).timestamp(),
            tick=n,
            victim_id=n,
            cause=DeathCause.ZONE,
            at=(10.0 * n, 5.0 * n),
            survived_s=1.0,
        )
        for n in range(ROWS)
    ]
    lake = Lake(folder).open()
    lake.add(died, {("t", 0): (len(died), uuid.UUID(int=1))})
    lake.close()


CASES = (
    *(Case(f"zones_{night}", functools.partial(simulated, night), bound_s=120.0) for night in NIGHTS),
    Case("zones_asked", asked, bound_s=120.0),
    Case("zones_refused", refused),
)
