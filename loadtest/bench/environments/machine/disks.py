"""Full folders: shared memory, and the state folder before the start and in the middle of it."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from launchday.settings import ENV_PREFIX
from loadtest.bench.environments.commands import doctor_and_flood
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.environments.spaces import Space
from loadtest.bench.options import Options

STATE_DIR = f"{ENV_PREFIX}STATE_DIR"
SHARED_MEMORY = "/dev/shm"
SAYS_ROOM = r"(?i)make room|no space|disk.*full|full.*disk"


def full_shared_memory(options: Options) -> Found:
    """Shared memory without room for a byte: matches are played without feeds."""
    return doctor_and_flood(options, within=Space(small={SHARED_MEMORY: 64}, full=(SHARED_MEMORY,)))


def full_state(size_kb: int, filled: bool, options: Options) -> Found:
    """The state folder on a file system that is full, or is full before the backend is up."""
    folder = os.environ[STATE_DIR]
    Path(folder).mkdir()
    within = Space(small={folder: size_kb}, full=(folder,) if filled else ())
    return doctor_and_flood(options, within=within, refusal=SAYS_ROOM)


CASES = (
    Case("full_shared_memory", full_shared_memory),
    Case("full_state", functools.partial(full_state, 256, True)),
    Case("full_state_soon", functools.partial(full_state, 30_000, False)),
)
