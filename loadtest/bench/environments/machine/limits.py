"""Soft limits of open descriptors, and of memory."""

from __future__ import annotations

import functools
import resource

from loadtest.bench.environments.commands import doctor_and_flood
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.environments.spaces import Space
from loadtest.bench.options import Options


def descriptors(soft: int, options: Options) -> Found:
    """So many open descriptors until a process asks for more; the hard limit stays as it is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return doctor_and_flood(options, within=Space(limits={"RLIMIT_NOFILE": (min(soft, hard), hard)}))


CASES = tuple(
    Case(f"descriptors_{soft}", functools.partial(descriptors, soft)) for soft in (256, 1_024, 8_192)
)
