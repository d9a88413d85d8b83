"""The rule of the seam finds each way past the clock, and nothing else."""

from __future__ import annotations

import pytest

from tests.seam_rules import ROOT, python_breaches, scan, script_breaches

PLANTED = [
    "import time\nage = time.time() - born",
    "from time import monotonic\ndeadline = monotonic() + 3",
    "import time as t\nt.perf_counter_ns()",
    "import time\ndef serve(clock=time.time): ...",
    "import asyncio\nasync def wait(): await asyncio.sleep(0.5)",
    "import asyncio\nasync def wait(): await asyncio.to_thread(print)",
    "import asyncio\nasyncio.get_running_loop().run_in_executor(None, print)",
    "import datetime\ndatetime.datetime.now(datetime.UTC)",
    "from datetime import date\ndate.today()",
    "import uuid\nuuid.uuid4()",
    "from uuid import uuid4\nmake = uuid4",
    "from os import urandom\nurandom(16)",
    "import secrets\nsecrets.token_hex(8)",
    "from secrets import randbits\nrandbits(8)",
    "import random\nrandom.uniform(0.5, 1.5)",
    "import random\nrandom.Random(1).random()",
    "import numpy as np\nnp.random.default_rng()",
    "import numpy as np\nnp.random.SeedSequence().spawn(2)",
    "import threading\nthreading.Thread(target=print).start()",
    "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(1)",
    'SQL = "UPDATE wallet SET changed_at = now() WHERE id = $1"',
    'SQL = f"INSERT INTO wallet VALUES ($1, CURRENT_TIMESTAMP)"',
]

INNOCENT = [
    "import asyncio\nasync def turn(): await asyncio.sleep(0)",
    "import asyncio\nasync def bound():\n    async with asyncio.timeout(3): ...",
    "import numpy as np\nrng = np.random.default_rng(7)",
    "import random\ndef draw(stream: random.Random) -> float: return stream.random()",
    "def wait(clock): return clock.monotonic()",
    '"""Never write SELECT now() here."""',
    'text = "not now() but later"',
    "import time\nspent = time.process_time()",
]


@pytest.mark.parametrize("source", PLANTED)
def test_a_planted_call_is_caught(source: str) -> None:
    assert len(python_breaches(source)) == 1


@pytest.mark.parametrize("source", INNOCENT)
def test_what_is_no_way_past_the_clock_is_left_alone(source: str) -> None:
    assert python_breaches(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "local now = redis.call('TIME')",
        'local pick = redis.call("RANDOMKEY")',
        "local x = math.random()",
        "SELECT now()",
    ],
)
def test_a_script_that_asks_its_engine_for_the_time_is_caught(source: str) -> None:
    assert len(script_breaches(source)) == 1


def test_a_script_may_speak_of_time_in_comments() -> None:
    assert (
        script_breaches("-- redis.call('TIME') would be the cache's clock\nlocal now = tonumber(ARGV[1])")
        == []
    )


def test_no_service_goes_past_its_clock() -> None:
    assert scan(ROOT) == []
