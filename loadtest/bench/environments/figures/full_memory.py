"""Matches with a full /dev/shm, which nobody can watch then, and with a container's 64 MB: all are played."""

from __future__ import annotations

import functools
import json
import os
import urllib.request
from http import HTTPStatus
from pathlib import Path

from launchday.settings import env_name, settings
from loadtest.bench.environments.commands import FLOOD, launchday, lost, running, unwell
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.environments.spaces import Space
from loadtest.bench.options import Options

SHARED_MEMORY = "/dev/shm"
UP_S, PAGE_S = 50.0, 20.0
NOT_SHOWN = "the match is not shown"
SWEEP = ("sweep", "smoke", "--vary", "fleet.buffer=1..2", "--seeds", "1", "--json")


def matches(size_kb: int, full: bool, options: Options) -> Found:
    """A flood whose servers have so much shared memory; where it is full, each match says so once."""
    if not options.floods:
        return Found(None, "a flood, which --no-floods leaves out")
    within = Space(small={SHARED_MEMORY: size_kb}, full=(SHARED_MEMORY,) if full else ())
    ran = launchday(*FLOOD, within=within)
    if (wrong := unwell(ran) or lost(ran)) is not None:
        return Found(False, wrong)
    found = json.loads(ran.out.splitlines()[-1])
    counts = found["match_counts"]
    logs = Path(os.environ[env_name("state_dir")]).rglob("logs/servers/*.log")
    unseen = sum(log.read_text(errors="replace").count(NOT_SHOWN) for log in logs)
    figures = {"formed": counts["formed"], "ended": counts["ended"], "not_shown": unseen}
    said = f"{counts['ended']} of {counts['formed']} matches were played, {unseen} of them unseen"
    expected = counts["formed"] if full else 0
    return Found(counts["ended"] == counts["formed"] > 0 and unseen == expected, said, figures)


def sweep(_options: Options) -> Found:
    """A sweep, whose processes need no semaphores, which would lie there."""
    ran = launchday(*SWEEP, within=Space(small={SHARED_MEMORY: 64}, full=(SHARED_MEMORY,)))
    if ran.code not in (0, 99) or ran.traceback:
        return Found(False, f"code {ran.code}: {ran.last_line}")
    settings = len(json.loads(ran.out.splitlines()[-1])["settings"])
    return Found(settings == 2, f"{settings} of 2 settings were simulated", {"settings": settings})


def page(_options: Options) -> Found:
    """The fleet's web page, whose framework would take semaphores for processes that nobody needs."""
    within = Space(small={SHARED_MEMORY: 64}, full=(SHARED_MEMORY,))
    with running("up", within=within) as backend:
        backend.wait_for("the backend is up", UP_S)
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{settings().fleet_port}/", timeout=PAGE_S
            ) as answer:
                return Found(answer.status == HTTPStatus.OK, f"the page answers {answer.status}")
        except OSError as error:
            return Found(False, f"the page does not answer: {error}")


CASES = (
    Case("matches_full_memory", functools.partial(matches, 64, True), bound_s=90.0),
    Case("matches_64_mb", functools.partial(matches, 64 << 10, False), bound_s=90.0),
    Case("sweep_full_memory", sweep),
    Case("page_full_memory", page, bound_s=90.0),
)
