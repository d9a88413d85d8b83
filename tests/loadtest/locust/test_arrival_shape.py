"""A scenario's arrivals as a number of users: what Locust's shape is made of."""

from __future__ import annotations

import json
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from loadtest.locust.arrival_shape import ArrivalShape
from loadtest.scenario import reader

SMOKE = reader.load_scenario(reader.SHIPPED / "smoke.yaml")


@given(st.lists(st.floats(0, 1_000), min_size=2, max_size=20))
def test_users_only_grow_until_the_last_match_must_be_over(times_s: list[float]) -> None:
    shape = ArrivalShape(SMOKE)
    users = [shape.users_at(now_s) for now_s in sorted(times_s)]
    present = [number for number in users if number is not None]
    assert present == sorted(present)
    assert users == present + [None] * (len(users) - len(present))
    assert shape.users_at(SMOKE.arrivals.over_s) == SMOKE.players.count


def test_bins_are_finer_than_a_millisecond() -> None:
    # In a process of its own: Locust replaces parts of the standard library.
    program = (
        "import json; from loadtest.locust.locustfile import bucket; "
        "print(json.dumps([bucket(x) for x in %s]))"
    )
    asked, binned = [0.1234, 7.891, 38.4521, 147.3, 58_760.0], [0.12, 7.89, 38.5, 147.0, 58_800.0]
    done = subprocess.run([sys.executable, "-c", program % asked], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == binned
