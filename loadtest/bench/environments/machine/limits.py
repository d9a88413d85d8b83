"""Limits: open descriptors, memory of everything together, address space of each process."""

from __future__ import annotations

import dataclasses
import functools
import resource

from loadtest.bench.environments.commands import doctor_and_flood
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.environments.memory import memory_cgroup
from loadtest.bench.environments.spaces import Space
from loadtest.bench.options import Options

GIB_MB = 1 << 10
GIB = 1 << 30
SAYS_MEMORY = r"(?i)memory"


def descriptors(soft: int, options: Options) -> Found:
    """So many open descriptors until a process asks for more; the hard limit stays as it is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return doctor_and_flood(options, within=Space(limits={"RLIMIT_NOFILE": (min(soft, hard), hard)}))


def memory(limit_mb: int, options: Options) -> Found:
    """So much memory for everything together, the players included."""
    with memory_cgroup(limit_mb) as cgroup:
        within = Space(memory_cgroup=str(cgroup.folder))
        found = doctor_and_flood(options, within=within, refusal=SAYS_MEMORY)
        figures = {**found.figures, "killed": cgroup.killed, "peak_mb": cgroup.peak_mb}
    return dataclasses.replace(found, figures=figures)


def address_space(options: Options) -> Found:
    """``ulimit -v``: a GiB of addresses for each process."""
    within = Space(limits={"RLIMIT_AS": (GIB, GIB)})
    return doctor_and_flood(options, within=within, refusal=SAYS_MEMORY)


CASES = (
    *(Case(f"descriptors_{soft}", functools.partial(descriptors, soft)) for soft in (256, 1_024, 8_192)),
    Case("memory_1_gib", functools.partial(memory, GIB_MB)),
    Case("address_space_1_gib", address_space),
)
